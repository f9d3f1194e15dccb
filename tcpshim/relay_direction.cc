// SPDX-License-Identifier: MIT
#include "tcpshim/relay_direction.h"

#include "tcpshim/socket_options.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cassert>

namespace proxyd::shim {
namespace {

// Of one direction before others have their turn.
constexpr uint64_t BytesPerTurn = 2 << 20;
// Asked of one splice(2): a pipe of 16 slots may take 16 fragments of 32 KiB.
constexpr size_t SpliceBytesMax = 1 << 20;
// So many reads in a row that would have fitted the buffer end the splicing.
constexpr uint8_t SmallReadsMax = 4;

void make_non_blocking(const RelaySocket& socket) {
    if (socket.is_non_blocking) return;
    int yes = 1;
    ioctl(socket.fd.number(), FIONBIO, &yes);
    socket.is_non_blocking = true;
}

}  // namespace

void RelayDirection::on_source_events(uint32_t epoll_events) {
    if ((epoll_events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0)
        can_read_ = true;
    if ((epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) has_hung_up_ = true;
    has_end_ = (epoll_events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == EPOLLRDHUP;
    if ((epoll_events & EPOLLPRI) != 0) has_urgent_ = true;
}

void RelayDirection::on_target_events(uint32_t epoll_events) {
    if ((epoll_events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) can_write_ = true;
}

RelayDirection::Progress RelayDirection::advance(const RelayServices& services,
                                                 const RelaySocket& source,
                                                 const RelaySocket& target) {
    assert(!is_over_);
    const uint64_t enough = bytes_ + BytesPerTurn;
    while (true) {
        Step step;
        if (held_ > 0) {
            if (!can_write_) return Progress::Waiting;
            step = write_from_pipe(services, target);
        } else if (!can_read_ || !can_write_) {
            return Progress::Waiting;
        } else if (bytes_ >= enough) {
            return Progress::More;
        } else if (is_bulk_ && !has_urgent_ && services.pipes.reserve_one() > 0) {
            step = read_into_pipe(services, source, target);
        } else {
            step = copy(services, source, target);
        }
        if (step != Step::Done && step != Step::Blocked) return finish(step, target);
    }
}

RelayDirection::Step RelayDirection::read_into_pipe(const RelayServices& services,
                                                    const RelaySocket& source,
                                                    const RelaySocket& target) {
    make_non_blocking(source);
    make_non_blocking(target);
    prepare_read(source.fd);
    Pipe pipe = services.pipes.take();
    const ssize_t size = splice(source.fd.number(), nullptr, pipe.write_end.borrow().number(),
                                nullptr, SpliceBytesMax, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (size <= 0) {
        const int reason = errno;
        services.pipes.give_back(std::move(pipe));
        errno = reason;
        return size == 0 ? note_end() : after_failed_read();
    }
    const bool is_small = static_cast<size_t>(size) <= services.buffer.size() / 2;
    small_reads_ = is_small ? static_cast<uint8_t>(small_reads_ + 1) : uint8_t{0};
    if (small_reads_ >= SmallReadsMax) is_bulk_ = false;
    pipe_ = std::move(pipe);
    held_ = static_cast<uint32_t>(size);
    return Step::Done;
}

void RelayDirection::prepare_read(BorrowedFd source) {
    const bool may_find_urgent = has_urgent_ || (has_read_ && !has_hung_up_);
    has_read_ = true;
    if (is_inline_ || !may_find_urgent) return;
    set_option(source, SOL_SOCKET, SO_OOBINLINE, 1);
    is_inline_ = true;
}

void RelayDirection::prepare_write(BorrowedFd target) {
    if (!has_written_ || is_prompt_) {
        has_written_ = true;
        return;
    }
    set_option(target, IPPROTO_TCP, TCP_NODELAY, 1);
    is_prompt_ = true;
}

bool RelayDirection::hold(const RelayServices& services, std::span<const uint8_t> bytes) {
    if (services.pipes.reserve_one() < bytes.size()) return false;
    pipe_ = services.pipes.take();
    const ssize_t kept = write(pipe_.write_end.borrow().number(), bytes.data(), bytes.size());
    assert(kept == static_cast<ssize_t>(bytes.size()) && "it has room for so many");
    held_ = static_cast<uint32_t>(kept);
    return true;
}

RelayDirection::Step RelayDirection::write_from_pipe(const RelayServices& services,
                                                     const RelaySocket& target) {
    make_non_blocking(target);
    prepare_write(target.fd);
    const ssize_t size = splice(pipe_.read_end.borrow().number(), nullptr, target.fd.number(),
                                nullptr, held_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (size <= 0) return after_failed_write();
    held_ -= static_cast<uint32_t>(size);
    bytes_ += static_cast<uint64_t>(size);
    if (held_ == 0) services.pipes.give_back(std::move(pipe_));
    return Step::Done;
}

// What the target doesn't take at once goes on through a pipe; that there is one is made sure of
// before anything is read.
RelayDirection::Step RelayDirection::copy(const RelayServices& services, const RelaySocket& source,
                                          const RelaySocket& target) {
    const size_t pipe_bytes = services.pipes.reserve_one();
    if (pipe_bytes == 0) return copy_without_pipe(services, source, target);
    const auto buffer = services.buffer.first(std::min(services.buffer.size(), pipe_bytes));
    prepare_read(source.fd);
    const ssize_t size = recv(source.fd.number(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (size == 0) return note_end();
    if (size < 0) return after_failed_read();
    const size_t read_bytes = static_cast<size_t>(size);
    const bool has_read_all = read_bytes < buffer.size() && !has_urgent_;
    if (read_bytes == buffer.size())
        is_bulk_ = true;
    else if (has_read_all && !has_hung_up_)
        can_read_ = false;  // what comes now makes another edge (epoll(7), Q9)

    // The last bytes go together with the end of file that follows at once.
    const bool is_last = has_read_all && has_end_ && !is_source_broken_;
    prepare_write(target.fd);
    ssize_t written = send(target.fd.number(), buffer.data(), read_bytes,
                           MSG_DONTWAIT | MSG_NOSIGNAL | (is_last ? MSG_MORE : 0));
    if (written < 0) {
        if (errno != EAGAIN) return after_failed_write();
        written = 0;
    }
    bytes_ += static_cast<uint64_t>(written);
    const auto rest = buffer.first(read_bytes).subspan(static_cast<size_t>(written));
    if (rest.empty()) return is_last ? Step::Ended : Step::Done;
    can_write_ = false;
    make_non_blocking(target);
    pipe_ = services.pipes.take();
    const ssize_t kept = write(pipe_.write_end.borrow().number(), rest.data(), rest.size());
    assert(kept == static_cast<ssize_t>(rest.size()) && "the buffer is no larger than a pipe");
    held_ = static_cast<uint32_t>(kept);
    return Step::Blocked;
}

// With no pipe to be had: bytes stay in their socket until the other one has taken them.
RelayDirection::Step RelayDirection::copy_without_pipe(const RelayServices& services,
                                                       const RelaySocket& source,
                                                       const RelaySocket& target) {
    const auto buffer = services.buffer;
    prepare_read(source.fd);
    const ssize_t size =
        recv(source.fd.number(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_PEEK);
    if (size == 0) return note_end();
    if (size < 0) return after_failed_read();
    prepare_write(target.fd);
    const ssize_t written = send(target.fd.number(), buffer.data(), static_cast<size_t>(size),
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written < 0) return after_failed_write();
    // Not MSG_TRUNC without a buffer, which only TCP knows.
    const ssize_t taken =
        recv(source.fd.number(), buffer.data(), static_cast<size_t>(written), MSG_DONTWAIT);
    assert(taken == written && "they were there a moment ago");
    bytes_ += static_cast<uint64_t>(written);
    return Step::Done;
}

RelayDirection::Step RelayDirection::note_end() {
    if (!is_source_broken_) return Step::Ended;
    error_ = ECONNRESET;
    return Step::SourceFailed;
}

RelayDirection::Step RelayDirection::after_failed_read() {
    if (errno == EAGAIN || errno == EINTR) {
        if (errno == EAGAIN) can_read_ = false;
        return Step::Blocked;
    }
    error_ = errno;
    return Step::SourceFailed;
}

RelayDirection::Step RelayDirection::after_failed_write() {
    if (errno == EAGAIN || errno == EINTR) {
        if (errno == EAGAIN) can_write_ = false;
        return Step::Blocked;
    }
    error_ = errno;
    return Step::TargetFailed;
}

RelayDirection::Progress RelayDirection::finish(Step step, const RelaySocket& target) {
    is_over_ = true;
    if (step == Step::SourceFailed) return Progress::SourceFailed;
    if (step == Step::TargetFailed) return Progress::TargetFailed;
    if (tells_end_)
        shutdown(target.fd.number(), SHUT_WR);  // fails if it is broken, as all else will
    return Progress::Ended;
}

void RelayDirection::abandon(PipePool& pipes) {
    is_over_ = true;
    if (!pipe_.is_open()) return;
    held_ = 0;
    pipes.discard(std::move(pipe_));
}

}  // namespace proxyd::shim
