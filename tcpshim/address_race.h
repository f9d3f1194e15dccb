// SPDX-License-Identifier: MIT
//
// AddressRace: a connection to one host, whichever of its addresses answers first (RFC 8305, "Happy
// Eyeballs"): IPv6 and IPv4 in turn, IPv6 first, the next one when the one before has failed or
// hasn't answered for a quarter of a second; addresses that become known meanwhile take part. Used
// by backend_connect, whose timeout bounds it.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "tcpshim/connect_attempt.h"
#include "tcpshim/host_addresses.h"

#include <memory>
#include <span>
#include <vector>

namespace proxyd::shim {

// In the order in which they are tried: `preferred` first if it is among them, then both families
// in turn, beginning with IPv6 (RFC 8305 section 4).
std::vector<SocketAddress> racing_order(std::span<const SocketAddress> ipv6,
                                        std::span<const SocketAddress> ipv4,
                                        const SocketAddress& preferred);

class AddressRace final : ConnectAttempt::Owner, HostAddresses::Waiter {
  public:
    class Owner {
      public:
        // The owner may destroy the race. `was_expected`: the address would have been the first one
        // without `preferred`.
        virtual void on_race_won(UniqueFd socket, const SocketAddress& address,
                                 bool was_expected) noexcept = 0;
        virtual void on_race_lost(ConnectFailure failure) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    // How long IPv4 waits for what the name server says of IPv6 (section 3).
    static constexpr Clock::duration ResolutionDelay = std::chrono::milliseconds(50);
    static constexpr Clock::duration AttemptDelay = std::chrono::milliseconds(250);  // section 5
    // At once: of many silent addresses each then has long enough for a second SYN (RFC 6298).
    static constexpr size_t AttemptsMax = 6;

    // `preferred`: has port 0, or is no address; `bind_source` and `opening` as in ConnectAttempt:
    // only addresses of its family are tried, and only the winner sends.
    AddressRace(EventLoop& loop, ConnectPoll& poll, HostAddresses& host, uint16_t port,
                const SocketAddress& preferred, const SocketAddress* bind_source, Opening* opening,
                Owner& owner);
    ~AddressRace() { host_.stop_waiting(*this); }
    AddressRace(const AddressRace&) = delete;
    AddressRace& operator=(const AddressRace&) = delete;

    // on_race_won and on_race_lost may come from within: then it is false, and the race may be
    // gone.
    bool start();

    bool has_tried() const { return !tried_.empty(); }

  private:
    void on_addresses() noexcept override;
    void on_attempt_done(ConnectAttempt& attempt) noexcept override;
    void on_resolution_delay() noexcept;
    void on_attempt_delay() noexcept;
    bool may_begin();
    bool try_next();  // as start()
    void note_failure(ConnectFailure failure);
    void make_room();
    bool is_trying() const;
    bool is_waiting_for_addresses() const;
    std::vector<SocketAddress> order() const;
    // Without `preferred`.
    bool would_be_first(const SocketAddress& address) const;
    void win(ConnectAttempt& attempt);

    ConnectPoll& poll_;
    HostAddresses& host_;
    const uint16_t port_;
    const SocketAddress preferred_;
    const SocketAddress* const bind_source_;
    Opening* const opening_;
    Owner& owner_;
    bool is_delay_over_ = false;
    bool has_failed_ = false;
    ConnectFailure failure_ = ConnectFailure::NotResolved;
    std::vector<SocketAddress> tried_;
    std::vector<std::unique_ptr<ConnectAttempt>> attempts_;  // with those that have failed
    TimerWatcher<&AddressRace::on_resolution_delay> resolution_delay_;
    TimerWatcher<&AddressRace::on_attempt_delay> attempt_delay_;
};

}  // namespace proxyd::shim
