// SPDX-License-Identifier: MIT
#include "base/relay/words.h"

#include <algorithm>
#include <array>
#include <utility>

namespace proxyd::shim {
namespace {

template <typename Value, size_t Count>
using Words = std::array<std::pair<Value, std::string_view>, Count>;

constexpr Words<Balance, 3> Balances = {{{Balance::RoundRobin, "round_robin"},
                                         {Balance::LeastConnections, "least_connections"},
                                         {Balance::SourceHash, "source_hash"}}};
constexpr Words<CheckKind, 4> CheckKinds = {{{CheckKind::None, "none"},
                                             {CheckKind::Connect, "connect"},
                                             {CheckKind::Tls, "tls"},
                                             {CheckKind::Http, "http"}}};

template <typename Value, size_t Count>
std::string_view word_of(const Words<Value, Count>& words, Value value) {
    const auto found = std::ranges::find(words, value, [](const auto& pair) { return pair.first; });
    return found == words.end() ? "?" : found->second;
}

template <typename Value, size_t Count>
std::optional<Value> value_of(const Words<Value, Count>& words, std::string_view word) {
    const auto found = std::ranges::find(words, word, [](const auto& pair) { return pair.second; });
    if (found == words.end()) return std::nullopt;
    return found->first;
}

}  // namespace

std::string_view balance_word(Balance balance) {
    return word_of(Balances, balance);
}

std::optional<Balance> balance_of(std::string_view word) {
    return value_of(Balances, word);
}

std::string_view check_kind_word(CheckKind kind) {
    return word_of(CheckKinds, kind);
}

std::optional<CheckKind> check_kind_of(std::string_view word) {
    return value_of(CheckKinds, word);
}

}  // namespace proxyd::shim
