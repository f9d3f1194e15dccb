// SPDX-License-Identifier: MIT
//
// SessionEvents: the end of each session, told to main for `proxyctl events`, as long as somebody
// wants to see them. Used by worker, which gives it the JSON lines of its access log. What main
// doesn't take in time is lost and counted: nothing waits for a reader of events.
//
//     {"event":{"event":"session",...}}    to main
//     {"event":{"event":"lost","count":7}} to main, when there is room again
#pragma once

#include "proxyd/access_log.h"

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

namespace proxyd {

class SessionEvents final : public AccessLog::Follower {
  public:
    class Sink {
      public:
        // Whether main keeps up with what it has been sent.
        virtual bool has_room_for_events() = 0;
        virtual void emit_event(const nlohmann::json& message) = 0;

      protected:
        ~Sink() = default;
    };

    explicit SessionEvents(Sink& sink) : sink_(sink) {}

    // A line of the access log, as JSON.
    void on_access_line(std::string_view json) override;
    uint64_t lost_count() const { return lost_; }

  private:
    Sink& sink_;
    uint64_t lost_ = 0;
};

}  // namespace proxyd
