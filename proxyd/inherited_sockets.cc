// SPDX-License-Identifier: MIT
#include "proxyd/inherited_sockets.h"

#include <fmt/format.h>

#include <algorithm>

namespace proxyd {

ListeningAddresses listening_addresses_of(std::vector<InheritedSocket> inherited) {
    ListeningAddresses addresses;
    for (InheritedSocket& passed : inherited) {
        auto found = std::ranges::find(addresses, passed.address, &ListeningAddress::address);
        if (found == addresses.end()) {
            ListeningAddress listening;
            listening.requested = listening.address = passed.address;
            listening.is_listening = listening.is_passed = true;
            found = addresses.insert(addresses.end(), std::move(listening));
        }
        found->sockets.push_back(std::make_shared<const UniqueFd>(std::move(passed.socket)));
    }
    return addresses;
}

std::vector<std::string> match_inherited_sockets(const ListeningAddresses& addresses,
                                                 const Configuration& configuration) {
    std::vector<std::string> problems;
    for (const ListeningAddress& listening : addresses) {
        const auto names_it = [&](const ListenerConfiguration& listener) {
            return std::ranges::find(listener.addresses, listening.requested) !=
                   listener.addresses.end();
        };
        if (!listening.is_passed || std::ranges::any_of(configuration.listeners, names_it))
            continue;
        SocketAddress::Text text;
        problems.push_back(fmt::format(
            "{0}: listen: the service manager passed a socket for {1}, which no listener names: "
            "add \"{1}\", or remove ListenStream={1} from the socket unit",
            configuration.file, listening.requested.format(text)));
    }
    return problems;
}

}  // namespace proxyd
