// SPDX-License-Identifier: MIT
//
// StandingQuestion keeps one name's records of one type: it asks again when their time to live is
// over, goes on with the last good answer while no name server answers, and asks ever less often
// while there is no answer. Used by host_addresses and service_targets.
//
// What a name server says is believed: a name that it says doesn't exist has no records any more.
#pragma once

#include "base/daemon/event_loop.h"
#include "tcpshim/dns_channel.h"
#include "tcpshim/jitter.h"

#include <string>

namespace proxyd::shim {

class StandingQuestion final : DnsChannel::Asker {
  public:
    class Owner {
      public:
        // Every time that a question has had its outcome, whether or not records have changed.
        virtual void on_records(StandingQuestion& question) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    static constexpr Clock::duration TtlMin = std::chrono::seconds(1);
    static constexpr Clock::duration TtlMax = std::chrono::hours(1);
    static constexpr Clock::duration RetryMin = std::chrono::seconds(1);
    static constexpr Clock::duration RetryMax = std::chrono::minutes(1);

    // `channel` outlives it.
    StandingQuestion(EventLoop& loop, DnsChannel& channel, std::string name, DnsType type,
                     Owner& owner);

    void start();  // asks for the first time; on_records may come from within
    // Somebody wants records and there are none: asks at once, unless it is asking or has asked
    // within the last RetryMin.
    void hurry();
    // It goes on with what it has, and asks no more.
    void rest();

    const DnsRecords& records() const { return records_; }
    bool is_asking() const { return question_.is_asked(); }
    bool has_had_outcome() const { return has_had_outcome_; }
    // A name server has said last that there is nothing.
    bool is_answered_with_nothing() const {
        return has_had_outcome_ && last_outcome_ != DnsOutcome::Failed && records_.empty();
    }
    const std::string& name() const { return name_; }

  private:
    void on_dns_reply(DnsOutcome outcome, DnsRecords records,
                      std::string_view failure) noexcept override;
    void log_outcome(DnsOutcome outcome, std::string_view failure);
    Clock::duration retry_delay();
    void ask();
    void on_due() noexcept;

    DnsChannel& channel_;
    const std::string name_;
    const DnsType type_;
    Owner& owner_;
    DnsRecords records_;
    DnsOutcome last_outcome_ = DnsOutcome::Found;
    bool has_had_outcome_ = false, rests_ = false;
    Clock::time_point asked_at_{};
    Clock::duration retry_ = Clock::duration::zero();
    Jitter jitter_;
    DnsChannel::Question question_;
    TimerWatcher<&StandingQuestion::on_due> due_;
};

// How long an answer is good for.
Clock::duration bounded_ttl(uint32_t seconds);

}  // namespace proxyd::shim
