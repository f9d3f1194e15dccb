// SPDX-License-Identifier: MIT
//
// The words of the configuration for what configuration.h has enumerations for. Used where it is
// read and printed, and on the command line.
#pragma once

#include "base/relay/configuration.h"

#include <optional>
#include <string_view>

namespace proxyd::shim {

inline constexpr std::string_view BalanceForms =
    "\"round_robin\", \"least_connections\" or \"source_hash\"";
inline constexpr std::string_view CheckForms = "\"none\", \"connect\", \"tls\" or \"http\"";

std::string_view balance_word(Balance balance);
std::optional<Balance> balance_of(std::string_view word);
std::string_view check_kind_word(CheckKind kind);
std::optional<CheckKind> check_kind_of(std::string_view word);

}  // namespace proxyd::shim
