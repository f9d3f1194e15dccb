// SPDX-License-Identifier: MIT
//
// HostAddresses: all addresses of one host, IPv6 and IPv4, as far as they are known right now. Made
// by resolver, one for each name, whoever asks; used by address_race, which takes them as they come
// (RFC 8305 section 3). Addresses have port 0.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/intrusive_list.h"
#include "base/posix/socket_address.h"
#include "tcpshim/standing_question.h"

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace proxyd::shim {

class HostAddresses final : StandingQuestion::Owner {
  public:
    // Linked while it waits; destroyed, it must not be.
    class Waiter : public IntrusiveHook {
      public:
        // A question has had its outcome. Who wants to know of the next one waits again.
        virtual void on_addresses() noexcept = 0;

      protected:
        ~Waiter() = default;
    };

    // Of a host that needs no name server.
    explicit HostAddresses(const std::vector<SocketAddress>& addresses);
    // Asks at once, and goes on asking.
    HostAddresses(EventLoop& loop, DnsChannel& channel, const std::string& name);
    ~HostAddresses() = default;
    HostAddresses(const HostAddresses&) = delete;
    HostAddresses& operator=(const HostAddresses&) = delete;

    std::span<const SocketAddress> ipv6() const;
    std::span<const SocketAddress> ipv4() const;
    bool empty() const { return ipv6().empty() && ipv4().empty(); }

    // Whether a question is under way.
    bool is_asking() const;
    // Whether it has ever been said what IPv6 addresses there are, if any; and both.
    bool is_ipv6_settled() const;
    bool is_settled() const;

    // Somebody wants an address and there is none: asks again, if that isn't too early.
    void hurry();
    // Asks no more.
    void rest();

    void wait(Waiter& waiter) { waiters_.push_back(waiter); }
    void stop_waiting(Waiter& waiter);

  private:
    void on_records(StandingQuestion& question) noexcept override;
    void tell_if_unknown();

    std::vector<SocketAddress> fixed_ipv6_, fixed_ipv4_;
    std::optional<StandingQuestion> ipv6_question_, ipv4_question_;
    IntrusiveList<Waiter> waiters_;
    bool is_told_unknown_ = false;
};

}  // namespace proxyd::shim
