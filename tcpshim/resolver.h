// SPDX-License-Identifier: MIT
//
// Resolver knows where to look a host up: it may be an address itself, stand in /etc/hosts, or in
// the DNS. Used by backend_group; the worker has one, made before the sandbox closes: it reads
// /etc/resolv.conf and /etc/hosts then, and never again.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "tcpshim/dns_channel.h"
#include "tcpshim/host_addresses.h"
#include "tcpshim/hosts_file.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

class Resolver {
  public:
    // `servers` as in Configuration::resolvers. The reason why not is a whole sentence.
    static Result<std::unique_ptr<Resolver>, std::string> create(
        EventLoop& loop, const std::vector<std::string>& servers,
        const char* hosts_file = "/etc/hosts");

    // The same object for the same host, as long as somebody has it; it must not outlive this.
    std::shared_ptr<HostAddresses> host(std::string_view name);

    // All hosts keep the addresses that they have, and nobody is asked any more.
    void rest();

    // For what isn't a host.
    DnsChannel& channel() { return *channel_; }

  private:
    Resolver(EventLoop& loop, std::unique_ptr<DnsChannel> channel, HostsFile hosts);
    std::shared_ptr<HostAddresses> look_up(const std::string& name);

    EventLoop& loop_;
    const std::unique_ptr<DnsChannel> channel_;
    const HostsFile hosts_;
    std::map<std::string, std::weak_ptr<HostAddresses>, std::less<>> known_;
};

}  // namespace proxyd::shim
