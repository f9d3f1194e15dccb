// SPDX-License-Identifier: MIT
#include "tcpshim/active_check.h"

#include <algorithm>
#include <array>

namespace proxyd::shim {
namespace {

std::string request_of(const CheckConfiguration& check, ProxyProtocolVersion proxy_protocol,
                       const std::string& host, Jitter& jitter) {
    std::array<uint8_t, CheckRandomBytes> bytes;
    std::ranges::generate(bytes, [&] { return jitter.byte(); });
    return make_check_request(check, proxy_protocol, check.name.empty() ? host : check.name, bytes);
}

}  // namespace

bool RiseAndFall::note(bool is_good) {
    good_ = is_good ? std::min(good_ + 1, rise_) : 0;
    bad_ = is_good ? 0 : std::min(bad_ + 1, fall_);
    const State before = state_;
    if (before == State::Unknown)
        state_ = is_good ? State::Up : State::Down;
    else if (good_ >= rise_)
        state_ = State::Up;
    else if (bad_ >= fall_)
        state_ = State::Down;
    return state_ != before;
}

ActiveCheck::ActiveCheck(EventLoop& loop, ConnectPoll& poll, const CheckConfiguration& check,
                         ProxyProtocolVersion proxy_protocol, const std::string& host,
                         BackendAddress& address, uint16_t port, Owner& owner)
    : loop_(loop),
      poll_(poll),
      check_(check),
      target_{.address = address, .port_of_client = port, .timeout = check.timeout},
      owner_(owner),
      request_(request_of(check, proxy_protocol, host, jitter_)),
      count_(check.rise, check.fall),
      due_(loop, *this) {}

void ActiveCheck::start() {
    on_due();
}

void ActiveCheck::on_due() noexcept {
    due_.start(jitter_.vary(check_.interval));
    if (probe_) return;  // the timeout is longer than the interval
    probe_.emplace(loop_, poll_, check_, request_, target_, static_cast<CheckProbe::Owner&>(*this));
    probe_->start();
}

void ActiveCheck::on_check_verdict(const CheckVerdict& verdict) noexcept {
    const CheckVerdict kept = verdict;  // it may lie in the probe
    probe_.reset();
    last_text_ = kept.text;
    const bool has_changed = count_.note(kept.is_good);
    owner_.on_checked(kept, has_changed);
}

}  // namespace proxyd::shim
