// SPDX-License-Identifier: MIT
#include "proxyd/access_log.h"

#include "base/daemon/log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>

#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace proxyd {
namespace {

constexpr size_t PendingBytesMax = 64 * 1024;

bool is_regular_file(BorrowedFd file) {
    struct stat status;
    return fstat(file.number(), &status) == 0 && S_ISREG(status.st_mode);
}

// Whole lines of no more than PIPE_BUF bytes together: so much goes into a pipe that takes bytes at
// all, in one piece (pipe(7)).
std::string_view next_piece(std::string_view rest) {
    if (rest.size() <= PIPE_BUF) return rest;
    const size_t line_end = rest.rfind('\n', PIPE_BUF - 1);
    return rest.substr(0, line_end == rest.npos ? PIPE_BUF : line_end + 1);
}

void append_field(std::string& line, std::string_view key, std::string_view value) {
    line.append(" ").append(key).append("=");
    if (value.empty())
        line += '-';
    else
        append_escaped(line, value);
}

void append_field(std::string& line, std::string_view key, std::optional<int64_t> value) {
    if (value)
        fmt::format_to(std::back_inserter(line), " {}={}", key, *value);
    else
        line.append(" ").append(key).append("=-");
}

nlohmann::ordered_json text_or_null(std::string_view text) {
    if (text.empty() || text == "-") return nullptr;
    return text;
}

// A name may be any bytes, and JSON text is UTF-8: so it is escaped as in the text log.
nlohmann::ordered_json escaped_or_null(std::string_view raw) {
    std::string text;
    append_escaped(text, raw);
    return text_or_null(text);
}

nlohmann::ordered_json number_or_null(std::optional<int64_t> number) {
    if (!number) return nullptr;
    return *number;
}

}  // namespace

std::string_view verdict_word(Verdict verdict) {
    switch (verdict) {
        case Verdict::HandedOver:
            return "handed_over";
        case Verdict::Rejected:
            return "rejected";
        case Verdict::Closed:
            return "closed";
        case Verdict::TimedOut:
            return "timed_out";
    }
    return "?";
}

AccessLog::AccessLog(UniqueFd file, AccessLogFormat format)
    : file_(std::move(file)), is_file_(is_regular_file(file_)), format_(format) {}

void AccessLog::replace(UniqueFd file) {
    flush();
    file_ = std::move(file);
    is_file_ = is_regular_file(file_);
}

Result<UniqueFd> open_access_log(const Configuration& configuration, bool may_create) {
    if (configuration.access_log == "stderr") {
        UniqueFd standard_error = UniqueFd::adopt(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
        if (!standard_error.is_open()) return Unexpected{Errno::last()};
        return standard_error;
    }
    // O_NONBLOCK: a named pipe without a reader is an error (ENXIO), not a reason to wait.
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | (may_create ? O_CREAT : 0);
    UniqueFd file = UniqueFd::adopt(open(configuration.access_log.c_str(), flags, 0640));
    if (!file.is_open()) return Unexpected{Errno::last()};
    return file;
}

void AccessLog::add(const AccessRecord& record) {
    counts_[static_cast<size_t>(record.verdict)]++;
    if (pending_.size() >= PendingBytesMax) flush();
    if (pending_.size() >= PendingBytesMax) {
        lines_lost_++;
        return;
    }
    if (format_ == AccessLogFormat::Json)
        add_json(record);
    else
        add_text(record);
}

void AccessLog::add_text(const AccessRecord& record) {
    SocketAddress::Text client, listener;
    append_time(pending_);
    pending_ += " access";
    append_field(pending_, "id", record.id);
    append_field(pending_, "client", record.client.format(client));
    append_field(pending_, "listener", record.listener.format(listener));
    append_field(pending_, "protocol", protocol_word(record.protocol));
    append_field(pending_, "name", record.name);
    append_field(pending_, "alpn", record.alpn);
    append_field(pending_, "route", record.route);
    append_field(pending_, "site", record.site_directory);
    if (!record.site_socket.empty()) {
        pending_ += '/';
        append_escaped(pending_, record.site_socket);
    }
    append_field(pending_, "verdict", verdict_word(record.verdict));
    append_field(pending_, "reason", record.reason);
    append_field(pending_, "hello_us", record.hello_us);
    append_field(pending_, "handoff_us", record.handoff_us);
    pending_ += '\n';
}

void AccessLog::add_json(const AccessRecord& record) {
    SocketAddress::Text client, listener;
    std::string time;
    append_time(time);
    nlohmann::ordered_json line;
    line["time"] = time;
    line["id"] = record.id;
    line["client"] = text_or_null(record.client.format(client));
    line["listener"] = text_or_null(record.listener.format(listener));
    line["protocol"] = text_or_null(protocol_word(record.protocol));
    line["name"] = escaped_or_null(record.name);
    line["alpn"] = escaped_or_null(record.alpn);
    line["route"] = text_or_null(record.route);
    std::string site(record.site_directory);
    if (!record.site_socket.empty()) site.append("/").append(record.site_socket);
    line["site"] = text_or_null(site);
    line["verdict"] = verdict_word(record.verdict);
    line["reason"] = text_or_null(record.reason);
    line["hello_us"] = number_or_null(record.hello_us);
    line["handoff_us"] = number_or_null(record.handoff_us);
    pending_ += line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    pending_ += '\n';
}

void AccessLog::flush() {
    std::string_view rest = pending_;
    while (!rest.empty() && (is_file_ || takes_bytes_now(file_))) {
        const std::string_view piece = is_file_ ? rest : next_piece(rest);
        const ssize_t written = write(file_.borrow().number(), piece.data(), piece.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) break;
        // A full disk, or a reader that has gone, loses lines, not connections.
        rest.remove_prefix(written < 0 ? rest.size() : static_cast<size_t>(written));
    }
    pending_.erase(0, pending_.size() - rest.size());
    if (!pending_.empty() || lines_lost_ == 0) return;
    log_warning("{} lines of the access log are lost: its reader did not keep up",
                std::exchange(lines_lost_, 0));
}

}  // namespace proxyd
