// SPDX-License-Identifier: MIT
//
// trace() writes one line to standard error when PROXYD_TRACE=1, and does nothing otherwise. Used
// by libpreload for each decision that it takes. Not for logs: a guest has none.
#pragma once

namespace proxyd {

// printf(3)'s format; keeps errno.
[[gnu::format(printf, 1, 2)]] void trace(const char* format, ...);

}  // namespace proxyd
