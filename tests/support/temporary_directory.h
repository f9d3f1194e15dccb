// SPDX-License-Identifier: MIT
//
// A directory that a test has for itself, removed with all its content at the test's end.
#pragma once

#include "base/posix/unique_fd.h"

#include <filesystem>

namespace proxyd::test {

class TemporaryDirectory {
  public:
    TemporaryDirectory();
    ~TemporaryDirectory();
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    const std::filesystem::path& path() const { return path_; }
    BorrowedFd fd() const { return fd_.borrow(); }

  private:
    std::filesystem::path path_;
    UniqueFd fd_;
};

// With O_PATH: what names a socket file without opening it.
UniqueFd open_path(const std::filesystem::path& path);

}  // namespace proxyd::test
