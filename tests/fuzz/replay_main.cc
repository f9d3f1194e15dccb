// SPDX-License-Identifier: MIT
//
// Runs a fuzz target over a corpus without libFuzzer, so that every build does it with any
// compiler: each file of the folders on the command line, whole and truncated at every byte.
#include <stdint.h>
#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using FileContent = std::vector<uint8_t>;

FileContent content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return FileContent(std::istreambuf_iterator<char>(file), {});
}

void replay(const FileContent& content) {
    for (size_t size = 0; size <= content.size(); size++) {
        // A block of just that size, so that AddressSanitizer sees the first byte read behind it.
        const auto input = std::make_unique<uint8_t[]>(size);
        std::copy_n(content.begin(), size, input.get());
        LLVMFuzzerTestOneInput(input.get(), size);
    }
}

}  // namespace

int main(int argument_count, char** arguments) {
    size_t files = 0;
    for (int i = 1; i < argument_count; i++) {
        for (const auto& entry : std::filesystem::directory_iterator(arguments[i])) {
            if (entry.path().extension() != ".bin") continue;
            replay(content_of(entry.path()));
            files++;
        }
    }
    printf("%zu files replayed\n", files);
    return files == 0 ? 1 : 0;
}
