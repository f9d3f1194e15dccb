// SPDX-License-Identifier: MIT
//
// BackendConnect: one try to connect to one backend, over TCP (whichever address) or to a Unix
// stream socket, within a time. Used by connector for clients and by check_probe for checks.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "tcpshim/address_race.h"

#include <memory>
#include <optional>
#include <string>

namespace proxyd::shim {

// Where a backend is, and which of its addresses has proved best.
class BackendAddress {
  public:
    // An address that won the race though others came before it stays in front for so long, unless
    // it fails (RFC 8305 section 4 wants such memory to end).
    static constexpr Clock::duration PreferenceTime = std::chrono::minutes(10);

    explicit BackendAddress(std::string unix_path) : unix_path_(std::move(unix_path)) {}
    BackendAddress(std::shared_ptr<HostAddresses> host, uint16_t port)
        : host_(std::move(host)), port_(port) {}

    bool is_unix() const { return host_ == nullptr; }
    const std::string& unix_path() const { return unix_path_; }
    HostAddresses& host() const { return *host_; }
    uint16_t port() const { return port_; }  // 0: the client's

    SocketAddress preferred() const;
    void note_winner(const SocketAddress& address, bool was_expected);

  private:
    std::string unix_path_;
    std::shared_ptr<HostAddresses> host_;
    uint16_t port_ = 0;
    SocketAddress preferred_;  // port 0
    Clock::time_point preferred_until_{};
};

class BackendConnect final : AddressRace::Owner, ConnectAttempt::Owner {
  public:
    class Owner {
      public:
        // The owner may destroy it. `address` is none for a Unix socket.
        virtual void on_backend_connected(UniqueFd socket,
                                          const SocketAddress& address) noexcept = 0;
        virtual void on_backend_failed(ConnectFailure failure) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    struct Target {
        BackendAddress& address;  // outlives the try
        uint16_t port_of_client = 0;
        const SocketAddress* bind_source = nullptr;
        Opening* opening = nullptr;  // may be sent while it connects
        Clock::duration timeout{};
    };

    BackendConnect(EventLoop& loop, ConnectPoll& poll, const Target& target, Owner& owner);
    BackendConnect(const BackendConnect&) = delete;
    BackendConnect& operator=(const BackendConnect&) = delete;

    // The owner may be called from within: then it is false, and the try may be gone.
    bool start();

  private:
    // A Unix socket whose backlog is full is tried again so often; connect(2) only says EAGAIN.
    static constexpr Clock::duration BacklogDelay = std::chrono::milliseconds(10);

    bool race();  // both as start()
    bool try_unix();
    void on_race_won(UniqueFd socket, const SocketAddress& address,
                     bool was_expected) noexcept override;
    void on_race_lost(ConnectFailure failure) noexcept override;
    void on_attempt_done(ConnectAttempt& attempt) noexcept override;
    // Whether the owner was told, and all may be gone.
    bool finish_unix(ConnectAttempt& attempt);
    void on_timeout() noexcept;
    void on_backlog_delay() noexcept;

    EventLoop& loop_;
    ConnectPoll& poll_;
    const Target target_;
    Owner& owner_;
    std::optional<AddressRace> race_;
    std::optional<ConnectAttempt> unix_attempt_;
    TimerWatcher<&BackendConnect::on_timeout> timeout_;
    TimerWatcher<&BackendConnect::on_backlog_delay> backlog_delay_;
};

}  // namespace proxyd::shim
