// SPDX-License-Identifier: MIT
#include "tcpshim/client_header.h"

#include <arpa/inet.h>
#include <fmt/format.h>

namespace proxyd::shim {
namespace {

struct HostText {
    explicit HostText(const SocketAddress& address) {
        if (address.family() == AF_INET)
            inet_ntop(AF_INET, &address.ipv4(), text, sizeof(text));
        else
            inet_ntop(AF_INET6, &address.ipv6(), text, sizeof(text));
    }
    char text[INET6_ADDRSTRLEN];
};

// Both addresses, or "UNKNOWN", which tells the backend to take those of the connection.
size_t write_line(const ClientDescription& client, ClientHeaderBytes& out) {
    const auto begin = out.begin();
    if (!client.source.has_address() || client.source.family() != client.destination.family())
        return static_cast<size_t>(fmt::format_to(begin, "PROXY UNKNOWN\r\n") - begin);
    const HostText source(client.source), destination(client.destination);
    const auto end = fmt::format_to(
        begin, "PROXY TCP{} {} {} {} {}\r\n", client.source.family() == AF_INET ? 4 : 6,
        source.text, destination.text, client.source.port(), client.destination.port());
    return static_cast<size_t>(end - begin);
}

}  // namespace

size_t write_client_header(ProxyProtocolVersion version, const ClientDescription& client,
                           ClientHeaderBytes& out) {
    switch (version) {
        case ProxyProtocolVersion::None:
            return 0;
        case ProxyProtocolVersion::V1:
            return write_line(client, out);
        case ProxyProtocolVersion::V2:
            return encode_wire_header({.source = client.source,
                                       .destination = client.destination,
                                       .alpn = client.alpn,
                                       .name = client.name,
                                       .id = client.id,
                                       .is_stated = false},
                                      out);
    }
    return 0;
}

}  // namespace proxyd::shim
