// SPDX-License-Identifier: MIT
//
// Channel: messages between the supervisor and one worker, over a pair of Unix stream sockets: JSON
// objects, one a line, of which each may bring a descriptor. Used by both sides; neither trusts the
// other to be quick, and the supervisor does not trust a worker to be honest: what can't be read as
// a message ends the channel.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <deque>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>

namespace proxyd {

class Channel {
  public:
    class Owner {
      public:
        // `descriptor` is open only if the message brought one. The channel must not be destroyed
        // in here.
        virtual void on_message(Channel& channel, const nlohmann::json& message,
                                UniqueFd descriptor) = 0;
        // The other side has gone, or sends what is no message. Nothing more will come, and it may
        // be destroyed.
        virtual void on_channel_end(Channel& channel) = 0;

      protected:
        ~Owner() = default;
    };

    // What is still to be sent, at most; more is refused.
    static constexpr size_t PendingBytesMax = 8 << 20;
    // A message with more bytes is none.
    static constexpr size_t MessageBytesMax = 1 << 20;

    // Two ends, close-on-exec and non-blocking.
    static Result<std::pair<UniqueFd, UniqueFd>> make_pair();

    Channel(EventLoop& loop, UniqueFd socket, Owner& owner);
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    // False if nothing can be sent any more, or too much is waiting to be.
    bool send(const nlohmann::json& message, UniqueFd descriptor = {});
    // Brings the messages that are there already, rather than in the next rounds of the loop.
    void receive_now();
    // How many bytes wait to be sent.
    size_t pending_bytes() const { return pending_bytes_; }
    BorrowedFd socket() const { return socket_; }

  private:
    enum class Received { Some, Nothing, End };  // End: the other side has gone
    struct Outgoing {
        std::string bytes;
        size_t sent = 0;
        UniqueFd descriptor;
    };

    void on_readable() noexcept;
    void on_writable() noexcept;
    bool send_pending();
    Received receive();
    bool take_lines();
    void end();

    UniqueFd socket_;
    Owner& owner_;
    std::deque<Outgoing> outgoing_;
    size_t pending_bytes_ = 0;
    std::string incoming_;
    std::deque<UniqueFd> incoming_descriptors_;
    bool has_ended_ = false;
    ReadWatcher<&Channel::on_readable> readable_;
    WriteWatcher<&Channel::on_writable> writable_;
};

}  // namespace proxyd
