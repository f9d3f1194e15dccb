// SPDX-License-Identifier: MIT
#include "tcpshim/resolver.h"

#include <utility>

namespace proxyd::shim {

Result<std::unique_ptr<Resolver>, std::string> Resolver::create(
    EventLoop& loop, const std::vector<std::string>& servers, const char* hosts_file) {
    auto channel = DnsChannel::create(loop, servers);
    if (!channel) return Unexpected{channel.error()};
    return std::unique_ptr<Resolver>(
        new Resolver(loop, *std::move(channel), HostsFile::load(hosts_file)));
}

Resolver::Resolver(EventLoop& loop, std::unique_ptr<DnsChannel> channel, HostsFile hosts)
    : loop_(loop), channel_(std::move(channel)), hosts_(std::move(hosts)) {}

std::shared_ptr<HostAddresses> Resolver::host(std::string_view name) {
    std::string lower(name);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<HostAddresses>& known = known_[lower];
    std::shared_ptr<HostAddresses> host = known.lock();
    if (host == nullptr) known = host = look_up(lower);
    return host;
}

void Resolver::rest() {
    for (const auto& [name, known] : known_)
        if (const auto host = known.lock()) host->rest();
}

std::shared_ptr<HostAddresses> Resolver::look_up(const std::string& name) {
    if (const auto address = SocketAddress::parse_host(name, 0))
        return std::make_shared<HostAddresses>(std::vector{*address});
    if (const std::vector<SocketAddress>* addresses = hosts_.find(name))
        return std::make_shared<HostAddresses>(*addresses);
    // RFC 6761 section 6.3: no name server is asked for these.
    if (name == "localhost" || name.ends_with(".localhost"))
        return std::make_shared<HostAddresses>(std::vector{
            *SocketAddress::parse_host("::1", 0), *SocketAddress::parse_host("127.0.0.1", 0)});
    return std::make_shared<HostAddresses>(loop_, *channel_, name);
}

}  // namespace proxyd::shim
