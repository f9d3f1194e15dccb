// SPDX-License-Identifier: MIT
//
// The access log: one line per session, as docs/CONFIGURATION.md describes it. Lines are gathered
// and written once per round of the event loop, so that logging costs a fraction of a system call.
#pragma once

#include "base/posix/result.h"
#include "base/posix/socket_address.h"
#include "base/posix/unique_fd.h"
#include "proxyd/configuration.h"
#include "proxyd/hello.h"
#include "proxyd/statistics.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

// Strings that are empty stand for nothing; `name` and `alpn` may hold anything.
struct AccessRecord {
    std::string_view id;
    SocketAddress client;
    SocketAddress listener;
    Protocol protocol = Protocol::Unknown;
    std::string_view name;
    std::string_view alpn;
    std::string_view route;
    std::string_view site_directory;
    std::string_view site_socket;  // file name in it
    Verdict verdict = Verdict::Closed;
    std::string_view reason;
    std::optional<int64_t> hello_us;
    std::optional<int64_t> handoff_us;
    bool has_waited_for_site = false;  // for the statistics only
};

class AccessLog {
  public:
    // Standard error, or the file of the configuration, which is appended to, and created if it
    // may.
    static Result<AccessLog> create(const Configuration& configuration, bool may_create);

    // Where sessions are counted; borrowed, and to be given before the first one.
    void count_in(ProcessStatistics& statistics) { statistics_ = &statistics; }
    void add(const AccessRecord& record);
    // Writes what has been gathered, as far as that doesn't block; the rest is kept, up to a limit,
    // and then lines are lost and counted.
    void flush();
    uint64_t count(Verdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }

  private:
    AccessLog(UniqueFd file, AccessLogFormat format);
    void count(const AccessRecord& record);
    void add_text(const AccessRecord& record);
    void add_json(const AccessRecord& record);

    UniqueFd file_;
    bool is_file_;
    AccessLogFormat format_;
    std::string pending_;
    uint64_t lines_lost_ = 0;
    ProcessStatistics* statistics_ = nullptr;
    std::array<uint64_t, 4> counts_{};
};

}  // namespace proxyd
