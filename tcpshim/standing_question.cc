// SPDX-License-Identifier: MIT
#include "tcpshim/standing_question.h"

#include "base/daemon/log.h"

#include <algorithm>
#include <utility>

namespace proxyd::shim {
namespace {

std::string_view type_word(DnsType type) {
    switch (type) {
        case DnsType::Ipv4:
            return "IPv4 addresses";
        case DnsType::Ipv6:
            return "IPv6 addresses";
        case DnsType::Service:
            return "services";
    }
    return "records";
}

}  // namespace

Clock::duration bounded_ttl(uint32_t seconds) {
    return std::clamp<Clock::duration>(std::chrono::seconds(seconds), StandingQuestion::TtlMin,
                                       StandingQuestion::TtlMax);
}

StandingQuestion::StandingQuestion(EventLoop& loop, DnsChannel& channel, std::string name,
                                   DnsType type, Owner& owner)
    : channel_(channel), name_(std::move(name)), type_(type), owner_(owner), due_(loop, *this) {}

void StandingQuestion::start() {
    ask();
}

void StandingQuestion::rest() {
    rests_ = true;
    due_.stop();
}

void StandingQuestion::hurry() {
    if (rests_ || is_asking() || Clock::now() - asked_at_ < RetryMin) return;
    ask();
}

void StandingQuestion::ask() {
    due_.stop();
    asked_at_ = Clock::now();
    channel_.ask(question_, name_, type_, *this);
}

void StandingQuestion::on_due() noexcept {
    ask();
}

Clock::duration StandingQuestion::retry_delay() {
    retry_ = std::clamp(retry_ * 2, RetryMin, RetryMax);
    return jitter_.lengthen(retry_);
}

void StandingQuestion::on_dns_reply(DnsOutcome outcome, DnsRecords records,
                                    std::string_view failure) noexcept {
    if (outcome == DnsOutcome::Found) retry_ = Clock::duration::zero();
    if (!rests_)
        due_.start(outcome == DnsOutcome::Found ? bounded_ttl(records.ttl_seconds) : retry_delay());
    log_outcome(outcome, failure);
    last_outcome_ = outcome;
    has_had_outcome_ = true;
    if (outcome != DnsOutcome::Failed) records_ = std::move(records);
    owner_.on_records(*this);
}

void StandingQuestion::log_outcome(DnsOutcome outcome, std::string_view failure) {
    if (outcome == last_outcome_) return;
    if (outcome == DnsOutcome::Failed)
        return log_warning("no name server tells the {} of {}: {}; {}", type_word(type_), name_,
                           failure,
                           records_.empty() ? "asking again" : "going on with its last answer");
    if (outcome == DnsOutcome::Found)
        return log_notice("the {} of {} are known", type_word(type_), name_);
    // Most names have no IPv6 address; that they have lost them is worth a line.
    const LogLevel level = records_.empty() ? LogLevel::Debug : LogLevel::Warning;
    log_at(level, "{} has no {} in the DNS", name_, type_word(type_));
}

}  // namespace proxyd::shim
