// SPDX-License-Identifier: MIT
//
// ControlConnection: one client of the control socket, as docs/CONTROL.md describes the protocol.
// It reads one request, waits for its answer, which may come at once or later, and then reads the
// next; or it becomes a stream of events for the rest of its life. Used by control_socket, which
// owns the connections and destroys those that are done.
//
// What a client doesn't read is kept, up to a limit, and nobody waits for it: an answer beyond the
// limit becomes an error, events beyond it are counted and told of when there is room again.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/line_buffer.h"
#include "base/posix/unique_fd.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace proxyd {

inline constexpr size_t ControlRequestBytesMax = 64 * 1024;
inline constexpr size_t ControlAnswerBytesMax = 4 * 1024 * 1024;
inline constexpr size_t ControlStreamBytesMax = 256 * 1024;

class ControlConnection {
  public:
    class Owner {
      public:
        virtual void on_request(ControlConnection& connection, const nlohmann::json& request) = 0;
        // It is done, and may be destroyed, but not before this callback has returned to the loop.
        virtual void on_done(ControlConnection& connection) = 0;

      protected:
        ~Owner() = default;
    };

    ControlConnection(EventLoop& loop, Owner& owner, uint64_t key, UniqueFd socket);
    ControlConnection(const ControlConnection&) = delete;
    ControlConnection& operator=(const ControlConnection&) = delete;

    uint64_t key() const { return key_; }
    BorrowedFd socket() const { return socket_; }
    // Of the request that is being answered; requests are counted from 1.
    uint32_t request_number() const { return request_number_; }

    bool is_answering() const { return stage_ == Stage::Answering; }
    bool is_streaming() const { return stage_ == Stage::Streaming; }
    bool is_done() const { return stage_ == Stage::Done; }
    bool has_output() const { return !output_.empty(); }
    // Nothing has been asked, not even in part.
    bool is_idle() const {
        return stage_ == Stage::Reading && output_.empty() && input_.is_empty() &&
               !has_input_ended_;
    }
    // Since when nothing was read or written.
    Clock::time_point quiet_since() const { return quiet_since_; }
    // Whether the other side has closed it; only of use for those that aren't read from.
    bool is_abandoned() const;

    // While answering. Each is one object, as JSON. False: there are too many bytes already, and
    // the answer will end with an error.
    bool add_item(std::string_view object);
    // Ends the answer with this line: an object, as JSON.
    void finish(std::string_view object);

    // From now on it takes events.
    void become_stream();
    // For a client of the process that was here before, whose request has not been answered.
    void expect_answer();
    void add_event(std::string_view object);

    // Says why, if there is room for it, and is done when that is written.
    void refuse(std::string_view why);
    void close();

  private:
    enum class Stage { Reading, Answering, Streaming, Closing, Done };

    void on_readable() noexcept;
    void on_writable() noexcept;
    void advance();
    void take_requests();
    void take_request(std::string_view line);
    void tell_of_lost_events();
    void update_watchers();

    Owner& owner_;
    const uint64_t key_;
    UniqueFd socket_;
    Stage stage_ = Stage::Reading;
    LineBuffer input_{ControlRequestBytesMax};
    bool has_input_ended_ = false;
    bool is_taking_requests_ = false;
    uint32_t request_number_ = 0;
    std::string output_;
    size_t answer_bytes_ = 0;
    bool is_answer_too_long_ = false;
    uint64_t events_lost_ = 0;
    Clock::time_point quiet_since_ = Clock::now();
    ReadWatcher<&ControlConnection::on_readable> readable_;
    WriteWatcher<&ControlConnection::on_writable> writable_;
};

// {"ok":false,"error":...}, as JSON.
std::string control_error(std::string_view text);

}  // namespace proxyd
