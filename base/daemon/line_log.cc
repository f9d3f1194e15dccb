// SPDX-License-Identifier: MIT
#include "base/daemon/line_log.h"

#include "base/daemon/log.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace proxyd {
namespace {

constexpr size_t PendingBytesMax = 64 * 1024;
constexpr size_t EntriesPerCall = 64;
// Many entries may lie in the journal's queue (the kernel's default has room for some fifty).
constexpr int JournalBufferBytes = 8 * 1024 * 1024;

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

Result<UniqueFd> connect_to_journal(const char* path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(address.sun_path)) return Unexpected{Errno{ENAMETOOLONG}};
    strcpy(address.sun_path, path);
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socket.is_open() ||
        connect(socket.borrow().number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) != 0)
        return Unexpected{Errno::last()};
    // As much as we may: the first works for root only.
    const int bytes = JournalBufferBytes;
    if (setsockopt(socket.borrow().number(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) !=
        0)
        setsockopt(socket.borrow().number(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    return socket;
}

}  // namespace

LineLogKind line_log_kind(std::string_view target) {
    return target == "journal" ? LineLogKind::Journal : LineLogKind::Lines;
}

Result<UniqueFd> open_line_log(const std::string& target, bool may_create,
                               const char* journal_socket_path) {
    if (line_log_kind(target) == LineLogKind::Journal)
        return connect_to_journal(journal_socket_path);
    // O_NONBLOCK: a named pipe without a reader is an error (ENXIO), not a reason to wait.
    const int flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_NONBLOCK | (may_create ? O_CREAT : 0);
    UniqueFd file = UniqueFd::adopt(target == "stderr" ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)
                                                       : open(target.c_str(), flags, 0640));
    if (!file.is_open()) return Unexpected{Errno::last()};
    return file;
}

LineLog::LineLog(UniqueFd file, LineLogKind kind)
    : file_(std::move(file)), kind_(kind), is_file_(is_regular_file(file_)) {}

bool LineLog::has_room() {
    if (pending_.size() >= PendingBytesMax) flush();
    return pending_.size() < PendingBytesMax;
}

void LineLog::flush() {
    if (pending_.empty()) return;
    if (kind_ == LineLogKind::Lines)
        flush_lines();
    else
        flush_journal();
}

void LineLog::flush_lines() {
    std::string_view rest = pending_;
    while (!rest.empty()) {
        const std::string_view piece = is_file_ ? rest : next_piece(rest);
        const ssize_t written = end_torn_line() ? write_some(piece) : -1;
        if (written > 0) {
            begins_torn_ = piece[static_cast<size_t>(written) - 1] != '\n';
            rest.remove_prefix(static_cast<size_t>(written));
            if (rest.empty()) on_all_written();
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            // A full disk, or a reader that has gone, loses lines, not connections.
            on_trouble(errno);
            file_is_torn_ = file_is_torn_ || begins_torn_;
            begins_torn_ = false;
            lose_lines(static_cast<uint64_t>(std::count(rest.begin(), rest.end(), '\n')));
            rest = {};
        }
    }
    pending_.erase(0, pending_.size() - rest.size());
}

ssize_t LineLog::write_some(std::string_view bytes) {
    return is_file_ ? write(file_.borrow().number(), bytes.data(), bytes.size())
                    : write_without_waiting(file_, bytes);
}

// A disk that was full has cut a line: what comes now must not become part of it.
bool LineLog::end_torn_line() {
    if (file_is_torn_ && write_some("\n") == 1) file_is_torn_ = false;
    return !file_is_torn_;
}

void LineLog::flush_journal() {
    size_t done = 0, bytes_done = 0;  // entries
    while (done < entry_bytes_.size()) {
        std::array<iovec, EntriesPerCall> pieces;
        std::array<mmsghdr, EntriesPerCall> messages{};
        const size_t count = std::min(EntriesPerCall, entry_bytes_.size() - done);
        char* at = pending_.data() + bytes_done;
        for (size_t i = 0; i < count; i++) {
            pieces[i] = {at, entry_bytes_[done + i]};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            at += pieces[i].iov_len;
        }
        const int sent = sendmmsg(file_.borrow().number(), messages.data(),
                                  static_cast<unsigned>(count), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            for (int i = 0; i < sent; i++)
                bytes_done += pieces[static_cast<size_t>(i)].iov_len;
            done += static_cast<size_t>(sent);
            if (done == entry_bytes_.size()) on_all_written();
        } else if (errno == EAGAIN || errno == ENOBUFS) {
            break;
        } else if (errno != EINTR) {
            on_trouble(errno);
            lose_lines(entry_bytes_.size() - done);
            bytes_done = pending_.size();
            done = entry_bytes_.size();
        }
    }
    pending_.erase(0, bytes_done);
    entry_bytes_.erase(entry_bytes_.begin(),
                       entry_bytes_.begin() + static_cast<std::ptrdiff_t>(done));
}

void LineLog::lose_lines(uint64_t lines) {
    assert(lost_ != nullptr);
    lines_lost_ += lines;
    lost_->add(lines);
}

void LineLog::on_trouble(int error) {
    if (std::exchange(has_told_of_trouble_, true)) return;
    log_error("access log: {}; lines are lost", errno_text(error));
}

void LineLog::on_all_written() {
    const uint64_t lost = std::exchange(lines_lost_, 0);
    if (std::exchange(has_told_of_trouble_, false))
        log_warning("access log: {} lines lost, it is written again", lost);
    else if (lost > 0)
        log_warning("access log: {} lines lost: its reader did not keep up", lost);
}

void LineLog::replace(UniqueFd file) {
    flush();
    if (std::exchange(begins_torn_, false)) {
        pending_.erase(0, pending_.find('\n') + 1);
        lose_lines(1);
    }
    file_ = std::move(file);
    is_file_ = is_regular_file(file_);
    file_is_torn_ = false;
}

}  // namespace proxyd
