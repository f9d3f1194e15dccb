// SPDX-License-Identifier: MIT
#include "base/daemon/confinement/shared_descriptors.h"

#include "base/daemon/confinement/system_call_filter.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace proxyd {
namespace {

// 2^n numbers, of which the first is a multiple of 2^n: a filter can compare them at once.
struct Block {
    uint32_t first, size;
};

// As few as possible for `numbers`, which are sorted and differ.
std::vector<Block> blocks_of(std::span<const int> numbers) {
    std::vector<Block> blocks;
    for (size_t at = 0; at < numbers.size(); at += blocks.back().size) {
        const auto first = static_cast<uint32_t>(numbers[at]);
        uint32_t size = 1;
        while (first % (2 * size) == 0 && at + 2 * size <= numbers.size() &&
               static_cast<uint32_t>(numbers[at + 2 * size - 1]) == first + 2 * size - 1)
            size *= 2;
        blocks.push_back({first, size});
    }
    return blocks;
}

}  // namespace

// A filter of its own, since one of them allows or refuses by what it finds: the kernel takes the
// worst that any filter says.
Result<void, std::string> protect_shared_descriptors(std::span<const int> numbers) {
    std::vector<int> sorted(numbers.begin(), numbers.end());
    std::sort(sorted.begin(), sorted.end());
    SystemCallFilter filter = SystemCallFilter::that_allows_all();
    for (const Block& block : blocks_of(sorted))
        for (const int call :
             {SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(shutdown), SCMP_SYS(setsockopt)})
            filter.forbid(call, {SystemCallFilter::argument_is(0, UINT32_MAX & ~(block.size - 1),
                                                               block.first)});
    return filter.load();
}

void retire_shared_descriptor(UniqueFd descriptor) {
    const int number = descriptor.release();
    if (dup3(STDIN_FILENO, number, O_CLOEXEC) < 0) close(number);
}

}  // namespace proxyd
