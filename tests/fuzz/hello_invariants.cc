// SPDX-License-Identifier: MIT
#include "tests/fuzz/hello_invariants.h"

#include "tests/support/hello_text.h"

#include <assert.h>

#include <algorithm>

namespace proxyd::test {
namespace {

constexpr size_t LooksMax = 16;

bool is_word_character(char c) {
    return (c >= 'a' && c <= 'z') || c == '_' || c == '2';
}

bool is_safe_name(std::string_view name) {
    const auto again = DnsName::parse(name);
    return again && again->view() == name && name.find('/') == name.npos &&
           name.find("..") == name.npos && !name.starts_with('.');
}

}  // namespace

void check_hello_outcome(const HelloOutcome& outcome, size_t bytes_seen) {
    if (const auto* more = std::get_if<NeedMore>(&outcome)) assert(more->bytes_min > bytes_seen);
    if (const auto* hello = std::get_if<Hello>(&outcome))
        assert(!hello->name || is_safe_name(hello->name->view()));
    if (const auto* malformed = std::get_if<Malformed>(&outcome))
        assert(!malformed->reason.empty() &&
               std::ranges::all_of(malformed->reason, is_word_character));
}

// Looks at the bytes as a session does while they arrive, a limited number of times. What was found
// early must be what all bytes give, and nobody may be made to wait for more than a good hello has.
void check_hello_parser(HelloParser parse, Bytes bytes) {
    const HelloOutcome whole = parse(bytes);
    check_hello_outcome(whole, bytes.size());

    size_t size = 0;
    while (size < bytes.size()) {
        const HelloOutcome part = parse(bytes.first(size));
        check_hello_outcome(part, size);
        const auto* more = std::get_if<NeedMore>(&part);
        if (more == nullptr) {
            assert(text_of(part) == text_of(whole));
            return;
        }
        assert(!std::holds_alternative<Hello>(whole) || more->bytes_min <= bytes.size());
        size = std::max(more->bytes_min, size + bytes.size() / LooksMax);
    }
}

}  // namespace proxyd::test
