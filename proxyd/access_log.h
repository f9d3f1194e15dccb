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

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace proxyd {

enum class Verdict { HandedOver, Rejected, Closed, TimedOut };

// The word of the access log: "handed_over"...
std::string_view verdict_word(Verdict verdict);

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
};

// Standard error, or the file of the configuration, which is appended to, and created if it may.
Result<UniqueFd> open_access_log(const Configuration& configuration, bool may_create);

class AccessLog {
  public:
    AccessLog(UniqueFd file, AccessLogFormat format);

    // For what is added from now on; what was added before goes to the old one, if it can.
    void replace(UniqueFd file);

    void add(const AccessRecord& record);
    // Writes what has been gathered, as far as that doesn't block; the rest is kept, up to a limit,
    // and then lines are lost and counted.
    void flush();
    uint64_t count(Verdict verdict) const { return counts_[static_cast<size_t>(verdict)]; }

  private:
    void add_text(const AccessRecord& record);
    void add_json(const AccessRecord& record);

    UniqueFd file_;
    bool is_file_;
    AccessLogFormat format_;
    std::string pending_;
    uint64_t lines_lost_ = 0;
    std::array<uint64_t, 4> counts_{};
};

}  // namespace proxyd
