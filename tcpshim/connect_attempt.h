// SPDX-License-Identifier: MIT
//
// ConnectAttempt: one connect(2) to one address, without waiting. Used by address_race (several at
// once) and backend_connect (Unix sockets). It has no timeout of its own.
#pragma once

#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "tcpshim/connect_failure.h"
#include "tcpshim/connect_poll.h"

#include <string>

namespace proxyd::shim {

class ConnectAttempt final : ConnectPoll::Handler {
  public:
    enum class State : uint8_t { Idle, Connecting, Connected, Failed };

    class Owner {
      public:
        // It was connecting, and has connected or failed. The owner may destroy it.
        virtual void on_attempt_done(ConnectAttempt& attempt) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    ConnectAttempt(ConnectPoll& poll, Owner& owner) : poll_(poll), owner_(owner) {}
    ~ConnectAttempt() { stop(); }
    ConnectAttempt(const ConnectAttempt&) = delete;
    ConnectAttempt& operator=(const ConnectAttempt&) = delete;

    // Returns the state; the owner isn't called for what is over at once.
    // `bind_source`: the address to come from, which needn't be one of this machine
    // (IP_TRANSPARENT); of the same family; nullptr: the kernel chooses.
    State start(const SocketAddress& address, const SocketAddress* bind_source);
    State start_unix(const std::string& path);

    State state() const { return state_; }
    const SocketAddress& address() const { return address_; }
    Errno error() const { return error_; }  // why it failed
    UniqueFd take_socket();                 // once connected; non-blocking

  private:
    bool open(int family);
    State connect(const sockaddr* address, socklen_t length, bool is_near);
    State fail(Errno error);
    void stop();
    void on_socket_ready() noexcept override;

    ConnectPoll& poll_;
    Owner& owner_;
    State state_ = State::Idle;
    Errno error_;
    SocketAddress address_;
    UniqueFd socket_;
};

}  // namespace proxyd::shim
