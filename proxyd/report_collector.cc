// SPDX-License-Identifier: MIT
#include "proxyd/report_collector.h"

#include <algorithm>
#include <utility>

namespace proxyd {

ReportCollector::ReportCollector(EventLoop& loop, Owner& owner)
    : owner_(owner), deadline_(loop, *this) {}

void ReportCollector::ask(const ReportRequest& request, const std::vector<uint64_t>& workers,
                          const ControlReply& reply) {
    const uint64_t id = next_id_++;
    Pending& pending = pending_[id];
    pending = {request, reply, Clock::now() + ReportTimeMax, {}, workers, 0};
    nlohmann::json message = {{"do", "report"}, {"what", request.what}, {"id", id}};
    message.update(request.fields);
    message["limit"] = request.limit;
    bool is_first = true;
    for (const uint64_t worker : workers) {
        // All see the same directories: one of them looks at those that nobody has asked for.
        message["looks"] = std::exchange(is_first, false);
        if (!owner_.send_to_worker(worker, message)) {
            std::erase(pending.awaited, worker);
            pending.silent++;
        }
    }
    if (pending.awaited.empty()) return finish(id);
    start_timer();
}

void ReportCollector::on_message(uint64_t worker, const nlohmann::json& message) {
    const uint64_t id = count_field(message, "report");
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;
    Pending& pending = found->second;
    if (std::ranges::find(pending.awaited, worker) == pending.awaited.end()) return;
    ReportPart& part = pending.parts[worker];
    if (const auto item = message.find("item"); item != message.end()) {
        if (item->is_object() && part.items.size() < pending.request.limit)
            part.items.push_back(*item);
        return;
    }
    part.end = message;
    stop_awaiting(id, worker, false);
}

void ReportCollector::on_worker_gone(uint64_t worker) {
    std::vector<uint64_t> concerned;
    for (const auto& [id, pending] : pending_)
        if (std::ranges::find(pending.awaited, worker) != pending.awaited.end())
            concerned.push_back(id);
    for (const uint64_t id : concerned)
        stop_awaiting(id, worker, true);
}

bool ReportCollector::is_asking(std::string_view what) const {
    return std::ranges::any_of(
        pending_, [what](const auto& entry) { return entry.second.request.what == what; });
}

void ReportCollector::stop_awaiting(uint64_t id, uint64_t worker, bool is_silent) {
    Pending& pending = pending_.at(id);
    std::erase(pending.awaited, worker);
    if (is_silent) pending.silent++;
    if (pending.awaited.empty()) finish(id);
}

void ReportCollector::finish(uint64_t id) {
    Pending pending = std::move(pending_.at(id));
    pending_.erase(id);
    if (pending.request.what == "events") return pending.reply.stream();
    std::vector<ReportPart> parts;
    for (auto& [worker, part] : pending.parts)
        parts.push_back(std::move(part));
    if (parts.empty()) return pending.reply.fail("no worker has answered");
    for (const ReportPart& part : parts)
        if (const std::string error = text_field(part.end, "error"); !error.empty())
            return pending.reply.fail(error);
    ReportPart merged = merge_report(pending.request.what, std::move(parts), pending.request.limit);
    for (const nlohmann::json& item : merged.items)
        if (!pending.reply.item(item)) break;
    nlohmann::json end = nlohmann::json::object();
    for (const char* key : {"next", "omitted"})
        if (merged.end.contains(key)) end[key] = merged.end[key];
    if (pending.silent > 0) end["workers_silent"] = pending.silent;
    pending.reply.done(end);
}

void ReportCollector::on_deadline() noexcept {
    const Clock::time_point now = Clock::now();
    std::vector<uint64_t> late;
    for (auto& [id, pending] : pending_)
        if (pending.deadline <= now) late.push_back(id);
    for (const uint64_t id : late) {
        pending_.at(id).silent += pending_.at(id).awaited.size();
        finish(id);
    }
    start_timer();
}

void ReportCollector::start_timer() {
    if (pending_.empty()) return;
    Clock::time_point first = Clock::time_point::max();
    for (const auto& [id, pending] : pending_)
        first = std::min(first, pending.deadline);
    deadline_.start(std::max<Clock::duration>(first - Clock::now(), std::chrono::milliseconds(1)));
}

}  // namespace proxyd
