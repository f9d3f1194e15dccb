// SPDX-License-Identifier: MIT
//
// ControlCommands: what may be asked over the control socket, as docs/CONTROL.md describes it. It
// checks a request and turns it into a call of ControlOperations, or asks workers and answers by
// itself. Used by the supervisor, which is those operations.
#pragma once

#include "base/daemon/control/control_socket.h"
#include "proxyd/report_collector.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

// What only the process that supervises can do. Each answers through `reply`, now or later.
class ControlOperations : public ReportCollector::Owner {
  public:
    virtual void answer_status(const ControlReply& reply) = 0;
    virtual void answer_reload(const ControlReply& reply) = 0;
    virtual void answer_upgrade(const ControlReply& reply) = 0;
    // No level: tells the one in force.
    virtual void answer_log_level(const std::optional<std::string>& level,
                                  const ControlReply& reply) = 0;
    virtual void answer_metrics(const ControlReply& reply) = 0;

    // The workers that serve clients, then those that finish what they have in hand.
    virtual std::vector<uint64_t> workers() = 0;

  protected:
    ~ControlOperations() = default;
};

class ControlCommands final : public ControlSocket::Owner {
  public:
    ControlCommands(EventLoop& loop, ControlOperations& operations);

    // A message of a worker with the key "report".
    void on_worker_report(uint64_t worker, const nlohmann::json& message);
    // A message of a worker with the key "event": for ControlSocket::publish, as JSON; "" if it is
    // none that a worker may send.
    static std::string worker_event(const nlohmann::json& message);
    void on_worker_gone(uint64_t worker);
    // Whether workers are to tell of each session's end; a new one must be told
    // {"do":"events","on":true}.
    bool wants_events() const { return wants_events_; }
    // There are streams that came from the process that was here before.
    void expect_events() { wants_events_ = true; }

  private:
    void on_request(const ControlReply& reply, const nlohmann::json& request) override;
    void on_last_stream_gone() override;
    void run(std::string_view command, const nlohmann::json& request, const ControlReply& reply);
    void report(std::string_view what, const nlohmann::json& request, const ControlReply& reply);

    ControlOperations& operations_;
    ReportCollector reports_;
    bool wants_events_ = false;
};

// What is wrong with a request; "" if nothing is.
std::string problem_with_request(const nlohmann::json& request);

}  // namespace proxyd
