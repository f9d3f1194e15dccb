// SPDX-License-Identifier: MIT
#include "base/relay/backend_text.h"

#include "base/daemon/configuration/configuration_values.h"
#include "base/handoff/dns_name.h"
#include "base/posix/socket_address.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>
#include <optional>

namespace proxyd::shim {
namespace {

using Parsed = Result<BackendConfiguration, std::string>;

constexpr std::string_view Service = "srv:", UnixStream = "unix:";

std::optional<uint16_t> parse_port(std::string_view text) {
    uint16_t port = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, port);
    if (error != std::errc() || rest != end || port == 0) return std::nullopt;
    return port;
}

Parsed parse_unix_stream(BackendConfiguration backend, std::string_view path) {
    if (!is_absolute_path(path)) return Unexpected{std::string("has no absolute path")};
    if (path.size() >= sizeof(sockaddr_un::sun_path))
        return Unexpected{
            fmt::format("has a path of more than {} bytes", sizeof(sockaddr_un::sun_path) - 1)};
    backend.kind = BackendKind::UnixStream;
    backend.host = path;
    return backend;
}

Parsed parse_service(BackendConfiguration backend, std::string_view name) {
    const auto parsed = DnsName::parse(name);
    // RFC 2782: _service._protocol.name
    if (!parsed || !name.starts_with('_') || name.find("._") == name.npos)
        return Unexpected{std::string("is no service of the form _SERVICE._PROTOCOL.NAME")};
    backend.kind = BackendKind::Service;
    backend.host = parsed->view();
    return backend;
}

Parsed parse_bracketed(BackendConfiguration backend, std::string_view text) {
    const size_t end = text.find(']');
    if (end == text.npos) return Unexpected{std::string("has a '[' without a ']'")};
    const std::string_view host = text.substr(1, end - 1), rest = text.substr(end + 1);
    const auto address = SocketAddress::parse_host(host, 0);
    if (!address || address->family() != AF_INET6)
        return Unexpected{std::string("has no IPv6 address between '[' and ']'")};
    backend.host = host;
    if (rest.empty()) return backend;
    const auto port = rest.starts_with(':') ? parse_port(rest.substr(1)) : std::nullopt;
    if (!port) return Unexpected{std::string("has no port from 1 to 65535 behind the ']'")};
    backend.port = *port;
    return backend;
}

}  // namespace

Parsed parse_backend(std::string_view text) {
    BackendConfiguration backend;
    backend.text = text;
    if (text.empty()) return Unexpected{std::string("is empty")};
    if (text.starts_with(UnixStream))
        return parse_unix_stream(std::move(backend), text.substr(UnixStream.size()));
    if (text.starts_with(Service))
        return parse_service(std::move(backend), text.substr(Service.size()));
    if (text.starts_with("tcp://"))
        return Unexpected{std::string("begins with 'tcp://', which is for routes: without it")};
    if (text.starts_with('[')) return parse_bracketed(std::move(backend), text);
    const size_t colon = text.find(':');
    if (colon != text.npos && text.find(':', colon + 1) != text.npos)
        return Unexpected{
            std::string("has more than one ':': an IPv6 address stands in '[' and ']'")};
    const std::string_view host = text.substr(0, colon);
    if (host.empty()) return Unexpected{std::string("has no host before its port")};
    if (!SocketAddress::parse_host(host, 0) && !DnsName::parse(host))
        return Unexpected{std::string("has no name or address before its port")};
    backend.host = host;
    if (colon == text.npos) return backend;
    const auto port = parse_port(text.substr(colon + 1));
    if (!port) return Unexpected{std::string("has no port from 1 to 65535 behind the ':'")};
    backend.port = *port;
    return backend;
}

}  // namespace proxyd::shim
