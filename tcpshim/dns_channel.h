// SPDX-License-Identifier: MIT
//
// DnsChannel asks name servers one question at a time each, with c-ares on the event loop. Used by
// standing_question, which asks again and again; keeps no answer.
//
// /etc/resolv.conf is read once, in create(), and no file after that: neither /etc/hosts (the
// resolver has read it) nor HOSTALIASES. So it goes on in a sandbox that opens no files.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "tcpshim/dns_answer.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ares_channeldata;

namespace proxyd::shim {

enum class DnsOutcome : uint8_t {
    Found,
    Missing,  // there is no such name, or it has no such record
    Failed,   // no name server answers, or what it says is no use
};

class DnsChannel {
  public:
    class Asker {
      public:
        // `failure` says why it failed; it is a literal. May come from within ask().
        virtual void on_dns_reply(DnsOutcome outcome, DnsRecords records,
                                  std::string_view failure) noexcept = 0;

      protected:
        ~Asker() = default;
    };

    // The asker's side of what it has asked: destroyed, nobody is told.
    class Question {
      public:
        Question() = default;
        Question(const Question&) = delete;
        Question& operator=(const Question&) = delete;
        ~Question() { forget(); }
        bool is_asked() const { return pending_ != nullptr; }

      private:
        friend class DnsChannel;
        struct Pending;
        void forget();
        Pending* pending_ = nullptr;
    };

    // How long a name server has for its answer at first; the second and third time twice and four
    // times as long. Then the next one is asked, if there is one.
    static constexpr int TimeoutMs = 1000;
    static constexpr int TriesMax = 3;

    // `servers`: "192.0.2.53", "192.0.2.53:5353", "2001:db8::53", "[2001:db8::53]:5353"; if there
    // are none, those of /etc/resolv.conf, whose search domains hold in any case. The reason why
    // not is a whole sentence.
    static Result<std::unique_ptr<DnsChannel>, std::string> create(
        EventLoop& loop, const std::vector<std::string>& servers);
    ~DnsChannel();
    DnsChannel(const DnsChannel&) = delete;
    DnsChannel& operator=(const DnsChannel&) = delete;

    // A host's name without a dot is tried below the search domains; a service's never is.
    // `question` isn't asked yet.
    void ask(Question& question, const std::string& name, DnsType type, Asker& asker);

  private:
    struct Socket;

    explicit DnsChannel(EventLoop& loop);
    static void on_socket_state(void* self, int fd, int wants_read, int wants_write);
    static void on_answer(void* pending, int status, int timeouts, unsigned char* message,
                          int bytes);
    void process(int readable, int writable);
    void restart_timer();
    void on_timer() noexcept;

    EventLoop& loop_;
    ares_channeldata* channel_ = nullptr;
    // Kept for the next socket when one is closed: c-ares closes sockets while it reads them.
    std::vector<std::unique_ptr<Socket>> sockets_;
    TimerWatcher<&DnsChannel::on_timer> timer_;
};

}  // namespace proxyd::shim
