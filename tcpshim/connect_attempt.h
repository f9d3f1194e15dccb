// SPDX-License-Identifier: MIT
//
// ConnectAttempt: one connect(2) to one address, without waiting. Used by address_race (several at
// once) and backend_connect (Unix sockets). It has no timeout of its own.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "tcpshim/connect_failure.h"
#include "tcpshim/connect_poll.h"

#include <string>

namespace proxyd::shim {

// What is said first over a connection, and how much of it has been sent while it was made.
struct Opening {
    Bytes bytes;
    size_t sent = 0;
};

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
    // `opening`: may be sent, if that is how to see that it has connected; or nullptr.
    State start(const SocketAddress& address, const SocketAddress* bind_source, Opening* opening);
    State start_unix(const std::string& path);

    State state() const { return state_; }
    const SocketAddress& address() const { return address_; }
    Errno error() const { return error_; }  // why it failed
    UniqueFd take_socket();                 // once connected; non-blocking

  private:
    bool open(int family);
    // Whether it is decided at once.
    bool begin(const sockaddr* address, socklen_t length);
    State wait();
    bool has_connected(Opening* opening);
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
