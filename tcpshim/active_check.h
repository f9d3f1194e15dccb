// SPDX-License-Identifier: MIT
//
// ActiveCheck asks one backend again and again whether it is up, and says when that changes: after
// `rise` good answers in a row, or `fall` bad ones; the very first answer counts by itself. Used by
// backend.
#pragma once

#include "base/daemon/event_loop.h"
#include "tcpshim/check_probe.h"
#include "tcpshim/jitter.h"

#include <optional>
#include <string>

namespace proxyd::shim {

// Answers in a row.
class RiseAndFall {
  public:
    enum class State : uint8_t { Unknown, Up, Down };

    RiseAndFall(uint32_t rise, uint32_t fall) : rise_(rise), fall_(fall) {}

    // Returns whether the state has changed.
    bool note(bool is_good);
    State state() const { return state_; }
    // Good answers in a row, up to the number that it takes to be up.
    bool has_risen() const { return good_ >= rise_; }
    // Those so far don't count.
    void forget_good() { good_ = 0; }

  private:
    const uint32_t rise_, fall_;
    State state_ = State::Unknown;
    uint32_t good_ = 0, bad_ = 0;
};

class ActiveCheck final : CheckProbe::Owner {
  public:
    class Owner {
      public:
        // After every check.
        virtual void on_checked(const CheckVerdict& verdict, bool has_changed) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    // `check`, which has a kind, outlives it, and so does `address`. `host`: what the backend is
    // called, unless the check has a name. `port`: of a backend that has the client's.
    ActiveCheck(EventLoop& loop, ConnectPoll& poll, const CheckConfiguration& check,
                ProxyProtocolVersion proxy_protocol, const std::string& host,
                BackendAddress& address, uint16_t port, Owner& owner);

    void start();  // the first check; its answer may come from within

    RiseAndFall& count() { return count_; }
    const RiseAndFall& count() const { return count_; }
    const std::string& last_text() const { return last_text_; }  // "" before the first answer

  private:
    void on_check_verdict(const CheckVerdict& verdict) noexcept override;
    void on_due() noexcept;

    EventLoop& loop_;
    ConnectPoll& poll_;
    const CheckConfiguration& check_;
    const BackendConnect::Target target_;
    Owner& owner_;
    Jitter jitter_;
    const std::string request_;
    RiseAndFall count_;
    std::string last_text_;
    std::optional<CheckProbe> probe_;
    TimerWatcher<&ActiveCheck::on_due> due_;
};

}  // namespace proxyd::shim
