// SPDX-License-Identifier: MIT
//
// ControlSocket: the listening Unix socket of a daemon over which proxyctl asks and commands, and
// its clients. docs/CONTROL.md describes the protocol. What a request means is the owner's affair.
//
// An answer may be given at once or later, through a ControlReply, which stays valid when the
// client has gone.
#pragma once

#include "base/daemon/control/control_connection.h"
#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace proxyd {

inline constexpr size_t ControlClientsMax = 32;

class ControlSocket;

// The right to answer one request; a value. Once the request is answered, or its client gone,
// nothing that it does has any effect.
class ControlReply {
  public:
    ControlReply() = default;  // nobody's

    // Whether anybody waits for it.
    bool is_wanted() const;
    // A part of the answer. False: nobody wants any more of them.
    bool item(const nlohmann::json& object) const;
    bool item_text(std::string_view object) const;  // as JSON
    // The end of the answer, of which there is one.
    void done() const;
    void done(const nlohmann::json& fields) const;  // an object, which goes on behind "ok"
    void fail(std::string_view error) const;
    void fail(std::string_view error, const std::vector<std::string>& details) const;
    // Instead: the client gets what ControlSocket::publish gives, for the rest of its life.
    void stream() const;
    // Who asks, for the log: "user 0, process 4711".
    std::string client_text() const;
    // Its socket, if nothing is on its way to it, so that another process can answer.
    std::optional<BorrowedFd> client() const;

  private:
    friend class ControlSocket;
    ControlReply(ControlSocket& socket, const ControlConnection& connection)
        : socket_(&socket), connection_(connection.key()), request_(connection.request_number()) {}
    ControlConnection* waiting() const;

    ControlSocket* socket_ = nullptr;
    uint64_t connection_ = 0;
    uint32_t request_ = 0;
};

class ControlSocket final : public ControlConnection::Owner {
  public:
    class Owner {
      public:
        virtual void on_request(const ControlReply& reply, const nlohmann::json& request) = 0;
        // Nobody takes events any more.
        virtual void on_last_stream_gone() = 0;

      protected:
        ~Owner() = default;
    };

    ControlSocket(EventLoop& loop, Owner& owner);
    ControlSocket(const ControlSocket&) = delete;
    ControlSocket& operator=(const ControlSocket&) = delete;
    ~ControlSocket();

    // From now on clients come in at `listening`, and nowhere else; nowhere at all if it isn't
    // open. It comes from socket_file.h, or from the process that was here before.
    void listen_on(UniqueFd listening);

    // An event, an object as JSON, to all who take events.
    void publish(std::string_view object);
    size_t stream_count() const;

    // For an upgrade: what the next process goes on with.
    BorrowedFd listening() const { return listening_; }
    std::vector<BorrowedFd> streams() const;
    std::vector<BorrowedFd> idle_clients() const;  // who have not asked anything yet
    void adopt_idle(UniqueFd client) { (void)add(std::move(client)); }
    void adopt_stream(UniqueFd client);
    // A client that waits for an answer.
    ControlReply adopt(UniqueFd client);

  private:
    friend class ControlReply;

    void on_connection() noexcept;
    void on_pause_over() noexcept;
    void on_before_wait() noexcept;
    bool accept_one();
    ControlConnection& add(UniqueFd socket);
    bool make_room();
    void make_stream(ControlConnection& connection);
    void on_request(ControlConnection& connection, const nlohmann::json& request) override;
    void on_done(ControlConnection& connection) override;

    EventLoop& loop_;
    Owner& owner_;
    UniqueFd listening_;
    uint64_t next_key_ = 1;
    std::unordered_map<uint64_t, std::unique_ptr<ControlConnection>> connections_;
    bool is_any_done_ = false;
    bool has_streams_ = false;
    ReadWatcher<&ControlSocket::on_connection> readable_;
    TimerWatcher<&ControlSocket::on_pause_over> pause_;  // without descriptors
    BeforeWaitWatcher<&ControlSocket::on_before_wait> before_wait_;
};

}  // namespace proxyd
