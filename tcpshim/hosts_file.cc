// SPDX-License-Identifier: MIT
#include "tcpshim/hosts_file.h"

#include "base/posix/unique_fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace proxyd::shim {
namespace {

// The next word of the line, which is taken off it; "" at its end.
std::string_view take_word(std::string_view& line) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
    const auto begin = std::ranges::find_if_not(line, is_blank);
    const auto end = std::find_if(begin, line.end(), is_blank);
    const std::string_view word(begin, end);
    line = std::string_view(end, line.end());
    return word;
}

}  // namespace

HostsFile::HostsFile(std::string_view text) {
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        line = line.substr(0, line.find('#'));
        const auto address = SocketAddress::parse_host(take_word(line), 0);
        if (!address) continue;
        for (std::string_view word; !(word = take_word(line)).empty();) {
            std::string name(word);
            for (char& c : name)
                if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
            std::vector<SocketAddress>& addresses = names_[std::move(name)];
            if (std::ranges::find(addresses, *address) == addresses.end())
                addresses.push_back(*address);
        }
    }
}

HostsFile HostsFile::load(const char* path) {
    const UniqueFd file = UniqueFd::adopt(open(path, O_RDONLY | O_CLOEXEC));
    std::string text;
    std::array<char, 4096> piece;
    if (file.is_open())
        for (ssize_t count; (count = read(file.borrow().number(), piece.data(), piece.size())) > 0;)
            text.append(piece.data(), static_cast<size_t>(count));
    return HostsFile(text);
}

const std::vector<SocketAddress>* HostsFile::find(std::string_view name) const {
    const auto found = names_.find(name);
    return found == names_.end() ? nullptr : &found->second;
}

}  // namespace proxyd::shim
