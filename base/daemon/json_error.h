// SPDX-License-Identifier: MIT
//
// What is wrong with a text that is not JSON, in words and with its line. Used by json, after it
// has found that something is; nlohmann_json does the finding. It is slow, which an error may be.
#pragma once

#include "base/daemon/json.h"

#include <string_view>

namespace proxyd {

JsonError json_error_of(std::string_view text);

}  // namespace proxyd
