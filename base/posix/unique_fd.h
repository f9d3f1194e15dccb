// SPDX-License-Identifier: MIT
//
// UniqueFd owns a file descriptor and closes it; BorrowedFd is the type of a parameter that only
// uses one. Used by everything. Plain `int` descriptors stay in base/posix and behind extern "C".
#pragma once

#include <errno.h>
#include <unistd.h>

#include <utility>

namespace proxyd {

class BorrowedFd;

class UniqueFd {
  public:
    UniqueFd() noexcept = default;
    // Takes over `fd`; a negative number (a failed call) gives an object that is not open.
    [[nodiscard]] static UniqueFd adopt(int fd) noexcept { return UniqueFd(fd); }

    UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;
    ~UniqueFd() { close(); }

    bool is_open() const noexcept { return fd_ >= 0; }
    inline BorrowedFd borrow() const noexcept;

    // Gives up ownership: the caller closes.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    // Keeps errno, and is never retried on EINTR: Linux has freed the number by then, and a second
    // close could hit somebody else's descriptor (close(2), "Dealing with error returns").
    void close() noexcept {
        if (fd_ < 0) return;
        const int saved_errno = errno;
        ::close(std::exchange(fd_, -1));
        errno = saved_errno;
    }

  private:
    explicit UniqueFd(int fd) noexcept : fd_(fd < 0 ? -1 : fd) {}
    int fd_ = -1;
};

class BorrowedFd {
  public:
    constexpr explicit BorrowedFd(int fd) noexcept : fd_(fd) {}
    BorrowedFd(const UniqueFd& owner) noexcept : BorrowedFd(owner.borrow()) {}  // NOLINT(implicit)

    // For the system call that uses it.
    constexpr int number() const noexcept { return fd_; }

  private:
    int fd_;
};

inline BorrowedFd UniqueFd::borrow() const noexcept {
    return BorrowedFd(fd_);
}

}  // namespace proxyd
