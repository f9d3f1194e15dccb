// SPDX-License-Identifier: MIT
//
// Result<T, E>: a value or the reason why there is none, with the interface of std::expected (which
// our compilers don't have yet), and Errno, the reason that a system call gives.
// Used by everything; needs neither exceptions nor the C++ runtime library.
#pragma once

#include <errno.h>

#include <optional>
#include <utility>

namespace proxyd {

// An errno value of a failed call; 0 stands for "none".
struct [[nodiscard]] Errno {
    int number = 0;

    static Errno last() { return Errno{errno}; }
    friend bool operator==(Errno, Errno) = default;
};

template <typename E>
struct Unexpected {
    E reason;
};

template <typename E>
Unexpected(E) -> Unexpected<E>;

template <typename T, typename E = Errno>
class [[nodiscard]] Result {
  public:
    Result(T value) : value_(std::move(value)) {}                               // NOLINT(implicit)
    Result(Unexpected<E> unexpected) : error_(std::move(unexpected.reason)) {}  // NOLINT(implicit)

    bool has_value() const { return value_.has_value(); }
    explicit operator bool() const { return has_value(); }

    T& operator*() & { return *value_; }
    const T& operator*() const& { return *value_; }
    T&& operator*() && { return *std::move(value_); }
    T* operator->() { return &*value_; }
    const T* operator->() const { return &*value_; }

    const E& error() const { return error_; }

  private:
    std::optional<T> value_;
    E error_{};
};

// For calls that only succeed or fail.
template <typename E>
class [[nodiscard]] Result<void, E> {
  public:
    Result() = default;
    Result(Unexpected<E> unexpected) : error_(std::move(unexpected.reason)) {}  // NOLINT(implicit)

    bool has_value() const { return !error_.has_value(); }
    explicit operator bool() const { return has_value(); }
    const E& error() const { return *error_; }

  private:
    std::optional<E> error_;
};

}  // namespace proxyd
