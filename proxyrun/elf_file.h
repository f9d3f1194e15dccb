// SPDX-License-Identifier: MIT
//
// ElfFile: the few facts of an executable file that decide whether LD_PRELOAD reaches it. Used by
// program_check. It reads headers only and trusts none of their offsets.
#pragma once

#include "base/posix/unique_fd.h"

#include <optional>
#include <string>

namespace proxyd {

struct ElfFile {
    // Of this program's architecture and word size; if not, no more is known.
    bool is_native = false;
    bool has_other_word_size = false;
    std::string interpreter;  // the dynamic loader; "" for a statically linked program
    bool is_go = false;       // built by the Go tool chain, even if it is dynamically linked

    // Nothing if it is no ELF file.
    static std::optional<ElfFile> read(BorrowedFd file);
};

}  // namespace proxyd
