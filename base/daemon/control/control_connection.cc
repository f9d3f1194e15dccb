// SPDX-License-Identifier: MIT
#include "base/daemon/control/control_connection.h"

#include "base/daemon/json_message.h"

#include <errno.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd {
namespace {

constexpr size_t ReadBytes = 16 * 1024;
constexpr size_t WriteBytes = 64 * 1024;
// No further request is taken while so much of earlier answers has not been read.
constexpr size_t UnreadBytesMax = 64 * 1024;

}  // namespace

std::string control_error(std::string_view text) {
    const nlohmann::ordered_json answer = {{"ok", false}, {"error", text}};
    return answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

ControlConnection::ControlConnection(EventLoop& loop, Owner& owner, uint64_t key, UniqueFd socket)
    : owner_(owner),
      key_(key),
      socket_(std::move(socket)),
      readable_(loop, *this),
      writable_(loop, *this) {
    update_watchers();
}

bool ControlConnection::is_abandoned() const {
    pollfd state{socket_.borrow().number(), 0, 0};
    return poll(&state, 1, 0) == 1 && (state.revents & (POLLHUP | POLLERR)) != 0;
}

void ControlConnection::on_readable() noexcept {
    std::array<char, ReadBytes> buffer;
    const ssize_t size =
        recv(socket_.borrow().number(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    quiet_since_ = Clock::now();
    // A client that has only ended its own half still wants its answer.
    if (size < 0 || (size == 0 && is_abandoned())) return close();
    if (size == 0)
        has_input_ended_ = true;
    else if (stage_ == Stage::Reading)
        input_.append({buffer.data(), static_cast<size_t>(size)});
    advance();
}

void ControlConnection::on_writable() noexcept {
    const ssize_t size = send(socket_.borrow().number(), output_.data(),
                              std::min(output_.size(), WriteBytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) return close();
    quiet_since_ = Clock::now();
    output_.erase(0, static_cast<size_t>(size));
    if (stage_ == Stage::Streaming && output_.size() < ControlStreamBytesMax / 2)
        tell_of_lost_events();
    advance();
}

// Takes what requests there are, and waits for what comes next.
void ControlConnection::advance() {
    if (is_taking_requests_) return;  // an answer that came at once: the loop below goes on
    is_taking_requests_ = true;
    take_requests();
    is_taking_requests_ = false;
    if (stage_ == Stage::Reading && has_input_ended_ && output_.size() < UnreadBytesMax) {
        if (!input_.is_empty()) return refuse("the last request has no end of line");
        stage_ = Stage::Closing;
    }
    if (stage_ == Stage::Closing && output_.empty()) return close();
    update_watchers();
}

void ControlConnection::take_requests() {
    while (stage_ == Stage::Reading && output_.size() < UnreadBytesMax) {
        const auto line = input_.next();
        if (line)
            take_request(*line);
        else if (input_.is_too_long())
            return refuse(fmt::format("a request has more than {} bytes", ControlRequestBytesMax));
        else
            return;
    }
}

void ControlConnection::take_request(std::string_view line) {
    stage_ = Stage::Answering;
    request_number_++;
    answer_bytes_ = 0;
    is_answer_too_long_ = false;
    const auto request = parse_json_message(line);
    if (!request)
        return finish(control_error(fmt::format(
            "a request is one JSON object in one line, nested no deeper than {}", JsonDepthMax)));
    owner_.on_request(*this, *request);
}

bool ControlConnection::add_item(std::string_view object) {
    if (stage_ != Stage::Answering || is_answer_too_long_) return false;
    answer_bytes_ += object.size();
    is_answer_too_long_ = answer_bytes_ > ControlAnswerBytesMax;
    if (is_answer_too_long_) return false;
    output_.append("{\"item\":").append(object).append("}\n");
    update_watchers();
    return true;
}

void ControlConnection::finish(std::string_view object) {
    if (stage_ != Stage::Answering) return;
    stage_ = Stage::Reading;
    if (is_answer_too_long_)
        output_.append(
            control_error(fmt::format("the answer has more than {} bytes", ControlAnswerBytesMax)));
    else
        output_.append(object);
    output_ += '\n';
    advance();
}

void ControlConnection::become_stream() {
    if (stage_ == Stage::Answering || stage_ == Stage::Reading) stage_ = Stage::Streaming;
    update_watchers();
}

void ControlConnection::expect_answer() {
    stage_ = Stage::Answering;
    request_number_++;
    update_watchers();
}

void ControlConnection::add_event(std::string_view object) {
    if (stage_ != Stage::Streaming) return;
    tell_of_lost_events();
    if (events_lost_ > 0 || output_.size() + object.size() > ControlStreamBytesMax) {
        events_lost_++;
        return;
    }
    output_.append("{\"item\":").append(object).append("}\n");
    update_watchers();
}

// In its place among the events.
void ControlConnection::tell_of_lost_events() {
    if (events_lost_ == 0 || output_.size() > ControlStreamBytesMax / 2) return;
    fmt::format_to(std::back_inserter(output_), "{{\"lost\":{}}}\n",
                   std::exchange(events_lost_, 0));
    update_watchers();
}

void ControlConnection::refuse(std::string_view why) {
    if (stage_ == Stage::Done) return;
    stage_ = Stage::Closing;
    output_.append(control_error(why)) += '\n';
    update_watchers();
}

void ControlConnection::close() {
    if (stage_ == Stage::Done) return;
    stage_ = Stage::Done;
    readable_.stop();
    writable_.stop();
    socket_.close();
    owner_.on_done(*this);
}

void ControlConnection::update_watchers() {
    if (stage_ == Stage::Done) return;
    const bool wants_input =
        stage_ == Stage::Streaming || (stage_ == Stage::Reading && output_.size() < UnreadBytesMax);
    const bool reads = wants_input && !has_input_ended_;
    if (!reads)
        readable_.stop();
    else if (!readable_.is_active())
        readable_.start(socket_);
    if (output_.empty())
        writable_.stop();
    else if (!writable_.is_active())
        writable_.start(socket_);
}

}  // namespace proxyd
