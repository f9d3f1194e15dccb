// SPDX-License-Identifier: MIT
//
// ClientSocket: a client's connection while it is ours: looked at, waited for, and given away in
// the state in which it was accepted. Used by session, which knows what the bytes mean.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/client_poll.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace proxyd {

class ClientSocket {
  public:
    ClientSocket(ClientPoll& poll, uint64_t key, UniqueFd connection);
    ~ClientSocket() { stop_watching(); }
    ClientSocket(const ClientSocket&) = delete;
    ClientSocket& operator=(const ClientSocket&) = delete;

    const UniqueFd& connection() const { return connection_; }
    bool is_watched() const { return is_watched_; }
    size_t bytes_seen() const { return bytes_seen_; }  // by the last look

    // What is there, none of it taken; a view into `buffer`. The error is the access log's word:
    // "client_closed" or "client_reset". `epoll_events` led to this look; 0: something else did.
    Result<Bytes, std::string_view> peek(std::span<uint8_t> buffer, uint32_t epoll_events);
    // Whether epoll called for that look though nothing was new.
    bool was_woken_in_vain() const { return was_woken_in_vain_; }
    // Takes so many of the bytes that a look has shown. False: they are gone with the client.
    bool take(size_t bytes);
    // Takes and throws away what is there. False: nothing more will come, or too much has.
    bool drain();
    // Sends as much of it as fits.
    void send(std::string_view answer);
    void end_sending();

    // Watches for `events` from now on. False if there is no memory or descriptor for that.
    bool watch(uint32_t events);
    void stop_watching();
    // No event for fewer bytes than that.
    void set_receive_low_water(size_t bytes);
    // As it was accepted, but for what was taken.
    void restore();
    UniqueFd release() { return std::move(connection_); }

  private:
    ClientPoll& poll_;
    const uint64_t key_;
    UniqueFd connection_;
    size_t bytes_seen_ = 0;
    size_t bytes_drained_ = 0;
    size_t receive_low_water_ = 1;
    bool is_watched_ = false;
    bool was_woken_in_vain_ = false;
};

}  // namespace proxyd
