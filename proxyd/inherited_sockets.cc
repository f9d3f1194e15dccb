// SPDX-License-Identifier: MIT
#include "proxyd/inherited_sockets.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace proxyd {
namespace {

std::optional<ConfiguredAddress> find_address(const Configuration& configuration,
                                              const SocketAddress& wanted) {
    for (size_t listener = 0; listener < configuration.listeners.size(); listener++) {
        const auto& addresses = configuration.listeners[listener].addresses;
        const auto found = std::ranges::find(addresses, wanted);
        if (found != addresses.end())
            return ConfiguredAddress{listener, static_cast<size_t>(found - addresses.begin())};
    }
    return std::nullopt;
}

}  // namespace

Result<std::vector<ConfiguredAddress>, std::vector<std::string>> match_inherited_sockets(
    std::span<const SocketAddress> inherited, const Configuration& configuration, size_t workers) {
    std::vector<ConfiguredAddress> matches;
    std::vector<std::string> errors;
    for (size_t i = 0; i < inherited.size(); i++) {
        const auto is_the_first = std::ranges::find(inherited, inherited[i]) ==
                                  inherited.begin() + static_cast<ptrdiff_t>(i);
        SocketAddress::Text text;
        const std::string_view address = inherited[i].format(text);
        const auto match = find_address(configuration, inherited[i]);
        if (match) {
            matches.push_back(*match);
        } else if (is_the_first) {
            errors.push_back(fmt::format(
                "{0}: listen: the service manager passed a socket for {1}, which no listener "
                "names: add \"{1}\", or remove ListenStream={1} from the socket unit",
                configuration.file, address));
        }
        const auto sockets = static_cast<size_t>(std::ranges::count(inherited, inherited[i]));
        if (match && is_the_first && sockets > workers)
            errors.push_back(fmt::format(
                "{}: the service manager passed {} sockets for {}, and there are {} workers: want "
                "no more than one socket for each worker",
                configuration.listeners[match->listener].place, sockets, address, workers));
    }
    if (!errors.empty()) return Unexpected{std::move(errors)};
    return matches;
}

}  // namespace proxyd
