// SPDX-License-Identifier: MIT
#include "tcpshim/host_addresses.h"

#include "base/daemon/log.h"

namespace proxyd::shim {

HostAddresses::HostAddresses(const std::vector<SocketAddress>& addresses) {
    for (const SocketAddress& address : addresses)
        (address.family() == AF_INET6 ? fixed_ipv6_ : fixed_ipv4_).push_back(address);
}

HostAddresses::HostAddresses(EventLoop& loop, DnsChannel& channel, const std::string& name) {
    auto& owner = static_cast<StandingQuestion::Owner&>(*this);
    ipv6_question_.emplace(loop, channel, name, DnsType::Ipv6, owner);
    ipv4_question_.emplace(loop, channel, name, DnsType::Ipv4, owner);
    ipv6_question_->start();
    ipv4_question_->start();
}

std::span<const SocketAddress> HostAddresses::ipv6() const {
    return ipv6_question_ ? ipv6_question_->records().addresses : fixed_ipv6_;
}

std::span<const SocketAddress> HostAddresses::ipv4() const {
    return ipv4_question_ ? ipv4_question_->records().addresses : fixed_ipv4_;
}

bool HostAddresses::is_asking() const {
    return ipv6_question_ && (ipv6_question_->is_asking() || ipv4_question_->is_asking());
}

bool HostAddresses::is_ipv6_settled() const {
    return !ipv6_question_ || ipv6_question_->has_had_outcome();
}

bool HostAddresses::is_settled() const {
    return is_ipv6_settled() && (!ipv4_question_ || ipv4_question_->has_had_outcome());
}

void HostAddresses::hurry() {
    if (!ipv6_question_ || !empty()) return;
    ipv6_question_->hurry();
    ipv4_question_->hurry();
}

void HostAddresses::rest() {
    if (!ipv6_question_) return;
    ipv6_question_->rest();
    ipv4_question_->rest();
}

void HostAddresses::stop_waiting(Waiter& waiter) {
    if (waiter.is_linked()) waiters_.remove(waiter);
}

// A name of one family alone is an ordinary one; of neither, it is misspelt, or will come to be.
void HostAddresses::tell_if_unknown() {
    const bool is_unknown =
        ipv6_question_->is_answered_with_nothing() && ipv4_question_->is_answered_with_nothing();
    if (is_unknown && !is_told_unknown_)
        log_warning("{} has no address in the DNS", ipv6_question_->name());
    is_told_unknown_ = is_unknown;
}

void HostAddresses::on_records(StandingQuestion&) noexcept {
    tell_if_unknown();
    // Who is called may wait again, stop others' waiting, or let this host be: nothing is touched
    // after the last one. One who is called once too often only looks again.
    for (size_t left = waiters_.size(); left > 0; left--) {
        Waiter* const waiter = waiters_.front();
        if (waiter == nullptr) return;
        waiters_.remove(*waiter);
        waiter->on_addresses();
    }
}

}  // namespace proxyd::shim
