// SPDX-License-Identifier: MIT
//
// BackendGroup: all backends of one site, and who is next. Backends that the configuration names
// are always there; those of a DNS service (SRV) come and go with its records, and keep the
// connections that they have. Used by connector; the worker has one for each site.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/daemon/intrusive_list.h"
#include "base/posix/result.h"
#include "base/relay/configuration.h"
#include "tcpshim/backend.h"
#include "tcpshim/balancer.h"
#include "tcpshim/resolver.h"
#include "tcpshim/standing_question.h"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace proxyd::shim {

class Elsewhere;

class BackendGroup final : Backend::Owner, StandingQuestion::Owner {
  public:
    // A client without a backend, as long as it waits for one.
    class Waiter : public IntrusiveHook {
      public:
        // There may be one now. It waits no more; it may wait again.
        virtual void on_backend_change() noexcept = 0;

      protected:
        ~Waiter() = default;
    };

    // What 1 is in the configuration's weights: a service's weight is shared by its targets.
    static constexpr uint32_t WeightOne = 65536;

    // Asks for names and begins with checks at once. All three outlive it; it outlives all leases.
    BackendGroup(EventLoop& loop, Resolver& resolver, ConnectPoll& poll,
                 const SiteConfiguration& site);
    ~BackendGroup();
    BackendGroup(const BackendGroup&) = delete;
    BackendGroup& operator=(const BackendGroup&) = delete;

    const SiteConfiguration& site() const { return site_; }
    EventLoop& loop() { return loop_; }
    ConnectPoll& poll() { return poll_; }

    // A backend for the client, none of those that it has `tried` (their numbers). Why not: Full if
    // waiting helps, NotResolved if there are no backends because a service has no targets, else
    // NoneUp.
    Result<BackendLease, ConnectFailure> choose(const SocketAddress& client,
                                                std::span<const uint64_t> tried);
    // Whether choose() would find one, now or when somebody has let go of it.
    bool has_another(std::span<const uint64_t> tried);
    // Whether choose() may find more when the DNS has answered. Asks again if it is time to.
    bool is_waiting_for_service();

    void wait(Waiter& waiter);
    void stop_waiting(Waiter& waiter);

    // What workers before this one still have counts for limits. Outlives it.
    void count_also(const Elsewhere& elsewhere);
    // Nobody will choose any more: nothing is checked, and no service asked for, from now on.
    void rest();

    // Those that are chosen from, in the order of the configuration.
    std::span<const std::unique_ptr<Backend>> backends() const { return backends_; }
    // Those that aren't chosen from any more and have connections.
    std::span<const std::unique_ptr<Backend>> retired() const { return retired_; }
    // Also one that isn't chosen from any more but has connections; nullptr if it is gone.
    Backend* find(uint64_t number);

  private:
    struct Service {
        const BackendConfiguration& configuration;
        std::unique_ptr<StandingQuestion> question;
        std::vector<Backend*> targets;
    };

    void add_configured(const BackendConfiguration& backend);
    std::unique_ptr<Backend> make_target(const Service& service, const ServiceRecord& record);
    void update_targets(Service& service);
    void on_records(StandingQuestion& question) noexcept override;
    void on_backend_change() noexcept override;
    void tidy() noexcept;
    void follow_pauses();
    bool collect(Clock::time_point now, std::span<const uint64_t> tried);
    BackendLease take(Backend& backend);

    EventLoop& loop_;
    Resolver& resolver_;
    ConnectPoll& poll_;
    const SiteConfiguration& site_;
    std::vector<std::unique_ptr<Backend>> backends_;
    std::vector<std::unique_ptr<Backend>> retired_;  // until their connections have ended
    std::vector<Service> services_;
    const Elsewhere* elsewhere_ = nullptr;
    IntrusiveList<Waiter> waiters_;
    // choose()'s, kept for their memory.
    std::vector<Candidate> candidates_;
    std::vector<Backend*> candidate_backends_;
    TimerWatcher<&BackendGroup::tidy> tidy_, pause_over_;
};

}  // namespace proxyd::shim
