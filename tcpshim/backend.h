// SPDX-License-Identifier: MIT
//
// Backend: one server that clients of a site may be sent to: where it is, whether it is up, how
// many connections it has, and its counters. BackendLease: one connection that counts for it. Made
// by backend_group, which chooses among them; used by connector, and by whoever shows its state.
//
// Up or not is decided by two voices. Active checks have the last word while there are any: down is
// down. What clients' connections say (PassiveHealth) leaves a backend out for a pause, which ends
// early when as many checks in a row as it takes to be up have been good since it began; even then
// it is on trial until a client has been connected.
//
// Only what no client can bring about is held against a backend: that it doesn't let itself be
// connected. A client may well send what has every server close without a word, so a backend that
// does is replaced for that client, and counted, but not left out: that is for checks to find.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/relay/configuration.h"
#include "tcpshim/active_check.h"
#include "tcpshim/backend_connect.h"
#include "tcpshim/connect_failure.h"
#include "tcpshim/passive_health.h"
#include "tcpshim/shared_sum.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace proxyd::shim {

enum class BackendState : uint8_t {
    Up,
    OnTrial,  // failed before; a client now and then is sent to it
    Paused,   // failed; for now used only if no other one is there
    Down,     // by active checks
};
// "up", "on_trial", "paused", "down".
std::string_view backend_state_word(BackendState state);

class Backend final : ActiveCheck::Owner {
  public:
    class Owner {
      public:
        // It, or one that it was preferred to, may be taken now and couldn't be before; or it has
        // lost its last connection. Whoever brings that about is in the middle of something: the
        // owner only makes a note.
        virtual void on_backend_change() noexcept = 0;

      protected:
        ~Owner() = default;
    };

    struct Description {
        std::string text;  // as logs and counters call it
        std::string host;  // what checks call it
        uint32_t weight = 1;
        uint32_t tier = 0;  // taken only if none with a lower number is up
        size_t connections_max = 0;
    };
    struct Counters {
        uint64_t chosen = 0;    // clients that were sent to it
        uint64_t answered = 0;  // whose first byte from it came
        std::array<uint64_t, ConnectFailureCount> failed{};
        uint64_t checks_good = 0, checks_bad = 0;
    };

    // `site` outlives it. Checks begin at once.
    Backend(EventLoop& loop, ConnectPoll& poll, const SiteConfiguration& site,
            Description description, BackendAddress address, Owner& owner);
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    // Of no other backend, present or past, of this process.
    uint64_t number() const { return number_; }
    const std::string& text() const { return description_.text; }
    uint32_t weight() const { return description_.weight; }
    uint32_t tier() const { return description_.tier; }
    uint64_t identity() const { return identity_; }
    int64_t& credit() { return credit_; }
    void set_share(uint32_t weight, uint32_t tier);
    // No more clients come: it isn't checked any more.
    void retire() { check_.reset(); }
    BackendAddress& address() { return address_; }
    const BackendAddress& address() const { return address_; }

    BackendState state(Clock::time_point now) const;
    bool is_full() const;
    size_t connections() const { return connections_; }
    // These count for connections_max, too.
    void count_also(SharedSum elsewhere) { elsewhere_ = std::move(elsewhere); }
    bool counts_elsewhere() const { return !elsewhere_.empty(); }
    size_t connections_max() const { return description_.connections_max; }
    const Counters& counters() const { return counters_; }
    const PassiveHealth& health() const { return health_; }
    // What the last check found: "HTTP 503"; "" if there was none.
    std::string_view last_check() const;

    void note_chosen();
    void note_connected();  // the failures in a row end
    void note_answered() { counters_.answered++; }
    // `began`: when the client was sent to it.
    void note_failed(ConnectFailure failure, Clock::time_point began);

  private:
    friend class BackendLease;
    void add_connection() { connections_++; }
    void remove_connection();
    void on_checked(const CheckVerdict& verdict, bool has_changed) noexcept override;

    const SiteConfiguration& site_;
    Owner& owner_;
    const uint64_t number_;
    Description description_;
    BackendAddress address_;
    const uint64_t identity_;
    int64_t credit_ = 0;
    size_t connections_ = 0;
    SharedSum elsewhere_;
    Counters counters_;
    PassiveHealth health_;
    std::unique_ptr<ActiveCheck> check_;
};

// Counts as one connection of its backend until it is destroyed or released; may be moved.
class BackendLease {
  public:
    BackendLease() = default;
    explicit BackendLease(Backend& backend) : backend_(&backend), began_(Clock::now()) {
        backend.add_connection();
    }
    BackendLease(BackendLease&& other) noexcept
        : backend_(std::exchange(other.backend_, nullptr)), began_(other.began_) {}
    BackendLease& operator=(BackendLease&& other) noexcept;
    ~BackendLease() { release(); }

    bool is_held() const { return backend_ != nullptr; }
    Backend& backend() const { return *backend_; }
    Clock::time_point began() const { return began_; }

    void note_connected() const { backend_->note_connected(); }
    // The first byte came.
    void note_answered() const { backend_->note_answered(); }
    // It was connected and has failed, and Connector::next() isn't called (which notes it itself).
    void note_failed(ConnectFailure failure) const { backend_->note_failed(failure, began_); }
    void release();

  private:
    Backend* backend_ = nullptr;
    Clock::time_point began_{};
};

}  // namespace proxyd::shim
