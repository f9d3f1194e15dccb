// SPDX-License-Identifier: MIT
#include "tests/support/temporary_directory.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>

#include <string>

namespace proxyd::test {

TemporaryDirectory::TemporaryDirectory() {
    std::string pattern = std::filesystem::temp_directory_path() / "proxyd-test-XXXXXX";
    [[maybe_unused]] const char* const made = mkdtemp(pattern.data());
    assert(made != nullptr);
    path_ = pattern;
    fd_ = open_path(path_);
    assert(fd_.is_open());
}

TemporaryDirectory::~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

UniqueFd open_path(const std::filesystem::path& path) {
    return UniqueFd::adopt(open(path.c_str(), O_PATH | O_CLOEXEC));
}

}  // namespace proxyd::test
