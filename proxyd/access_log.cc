// SPDX-License-Identifier: MIT
#include "proxyd/access_log.h"

#include "base/daemon/log.h"

#include <cassert>
#include <utility>

namespace proxyd {

AccessLog::AccessLog(UniqueFd file, LineLogKind kind, AccessLogFormat format)
    : lines_(std::move(file), kind), format_(format) {}

void AccessLog::count_in(ProcessStatistics& statistics) {
    statistics_ = &statistics;
    lines_.count_losses_in(statistics.access_lines_lost);
}

void AccessLog::add(const AccessRecord& record) {
    assert(statistics_ != nullptr);
    count(record);
    time_.clear();
    append_time(time_);
    const bool needs_json = follower_ != nullptr || format_ == AccessLogFormat::Json;
    json_.clear();
    if (needs_json) append_json_line(json_, time_, record);
    lines_.add([&](std::string& out) { append(out, record); });
    if (follower_ != nullptr) follower_->on_access_line(json_);
}

void AccessLog::count(const AccessRecord& record) {
    counts_[static_cast<size_t>(record.verdict)]++;
    statistics_->count_session(record.verdict, record.reason);
    if (record.hello_us) statistics_->add_timing(Timing::Hello, *record.hello_us);
    if (!record.handoff_us) return;
    if (record.verdict == Verdict::HandedOver)
        statistics_->add_timing(Timing::Handoff, *record.handoff_us);
    if (record.has_waited_for_site) statistics_->add_timing(Timing::SiteWait, *record.handoff_us);
}

// The journal has its own time, so its lines of text have none.
void AccessLog::append(std::string& out, const AccessRecord& record) {
    const bool is_json = format_ == AccessLogFormat::Json;
    if (lines_.kind() == LineLogKind::Lines) {
        if (is_json)
            out += json_;
        else
            append_text_line(out, time_, record);
        return;
    }
    message_.clear();
    if (!is_json) append_text_line(message_, "", record);
    std::string_view message = is_json ? json_ : message_;
    message.remove_suffix(1);
    append_journal_entry(out, message, record);
}

}  // namespace proxyd
