// SPDX-License-Identifier: MIT
//
// Landlock: which files a process may still reach, and whether it may use TCP (landlock(7)), as far
// as the kernel knows it. Used by the daemons' sandboxes, after everything is open.
#pragma once

#include "base/posix/result.h"

#include <cstdint>
#include <span>
#include <string>

namespace proxyd {

enum class PathAccess : uint8_t {
    ListDirectories,  // and nothing in them
    ReadFiles,        // and list directories
};

// All that is below a directory, or one file.
struct PathRule {
    std::string path;
    PathAccess access = PathAccess::ListDirectories;
};

struct LandlockPolicy {
    std::span<const PathRule>
        paths;  // all others are out of reach; one that isn't there is left out
    bool may_connect_tcp = false;
    bool may_bind_tcp = false;
};

// For good. In any case no signal can be sent to others, and no abstract Unix socket of others be
// reached. Nothing happens, and that is no error, where the kernel has no Landlock, and, since
// their runtimes open files, in builds with sanitizers.
Result<void, std::string> enter_landlock(const LandlockPolicy& policy);

// What this kernel knows of Landlock: the version of its interface, 0 if it has none. From 4 on TCP
// is confined, from 6 on signals.
int landlock_version();

}  // namespace proxyd
