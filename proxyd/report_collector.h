// SPDX-License-Identifier: MIT
//
// ReportCollector: asks workers for a report, waits for what they say, and answers a client of the
// control socket with all of it put together. Used by control_commands, in main.
//
//     to a worker:    {"do":"report","what":"sites","id":7,...}
//     from a worker:  {"report":7,"item":{...}} for each item, then {"report":7,"done":true,...}
//
// A worker that dies or says nothing for a while is left out, and the answer says so.
#pragma once

#include "base/daemon/control/control_socket.h"
#include "base/daemon/event_loop.h"
#include "proxyd/control_merge.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace proxyd {

inline constexpr auto ReportTimeMax = std::chrono::seconds(5);

struct ReportRequest {
    std::string what;
    nlohmann::json fields = nlohmann::json::object();  // for the workers
    size_t limit = 1;                                  // of items in the answer
};

class ReportCollector {
  public:
    class Owner {
      public:
        // False: it can't be sent, for the worker doesn't read or is gone.
        virtual bool send_to_worker(uint64_t worker, const nlohmann::json& message) = 0;

      protected:
        ~Owner() = default;
    };

    ReportCollector(EventLoop& loop, Owner& owner);

    void ask(const ReportRequest& request, const std::vector<uint64_t>& workers,
             const ControlReply& reply);
    // A message with the key "report".
    void on_message(uint64_t worker, const nlohmann::json& message);
    void on_worker_gone(uint64_t worker);
    // Whether an answer is being waited for.
    bool is_asking(std::string_view what) const;

  private:
    struct Pending {
        ReportRequest request;
        ControlReply reply;
        Clock::time_point deadline;
        std::unordered_map<uint64_t, ReportPart> parts;  // by worker
        std::vector<uint64_t> awaited;
        size_t silent = 0;
    };

    void stop_awaiting(uint64_t id, uint64_t worker, bool is_silent);
    void finish(uint64_t id);
    void on_deadline() noexcept;
    void start_timer();

    Owner& owner_;
    uint64_t next_id_ = 1;
    std::unordered_map<uint64_t, Pending> pending_;
    TimerWatcher<&ReportCollector::on_deadline> deadline_;
};

}  // namespace proxyd
