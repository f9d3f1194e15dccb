// SPDX-License-Identifier: MIT
//
// What a session tells of itself: while it waits, and in the access log when it is over.
#include "proxyd/session.h"

namespace proxyd {
namespace {

int64_t microseconds(Clock::duration duration) {
    return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

}  // namespace

Session::Snapshot Session::snapshot() const {
    Snapshot now;
    now.id = {id_.data(), id_.size()};
    now.client = client_;
    now.listener = local_ ? *local_ : entrance_.address;
    now.state = session_state_word(state_);
    now.protocol = protocol_word(protocol_);
    now.name = hello_.name ? hello_.name->view() : std::string_view(offending_name_);
    now.route = route_key_;
    if (state_ == State::AwaitingSite && site_ != nullptr) now.site_directory = site_->directory();
    now.bytes_seen = socket_.bytes_seen();
    now.accepted_at = accepted_at_;
    now.waits_since = hello_at_.value_or(accepted_at_);
    return now;
}

void Session::log(Verdict verdict, std::string_view reason) {
    AccessRecord record;
    record.id = {id_.data(), id_.size()};
    record.client = client_;
    record.listener = local_address();
    record.protocol = protocol_;
    record.name = hello_.name ? hello_.name->view() : std::string_view(offending_name_);
    std::string alpn;
    hello_.alpn.append_to(alpn);
    record.alpn = alpn;
    record.route = route_key_;
    if (site_ != nullptr) {
        record.site_directory = site_->directory();
        if (verdict == Verdict::HandedOver) record.site_socket = site_->last_taker();
    }
    record.verdict = verdict;
    record.reason = reason;
    if (hello_at_) {
        record.hello_us = microseconds(*hello_at_ - accepted_at_);
        record.handoff_us = microseconds(Clock::now() - *hello_at_);
    }
    record.has_waited_for_site = is_linked() && !is_expendable_;
    services_.access_log.add(record);
}

}  // namespace proxyd
