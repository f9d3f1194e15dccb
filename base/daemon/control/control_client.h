// SPDX-License-Identifier: MIT
//
// ControlClient: the asking side of the control socket: sends a request and takes its answer, as
// docs/CONTROL.md describes them. Used by proxyctl and proxyrun. It blocks, and knows nothing of
// what is asked.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace proxyd {

using Json = nlohmann::ordered_json;

class ControlClient {
  public:
    // The error is a whole message.
    static Result<ControlClient, std::string> connect_to(const std::string& path);

    // Calls `item` with each part of the answer until it says false; the last line of the answer
    // otherwise, {} if `item` has ended it. The error is a whole message: the answer has not come.
    using Item = std::function<bool(const Json&)>;
    Result<Json, std::string> ask(const Json& request, const Item& item);

    // How long to wait for a line (default: AnswerTime); none: for ever.
    static constexpr std::chrono::seconds AnswerTime{10};
    void wait_at_most(std::chrono::seconds time);

  private:
    ControlClient(std::string path, UniqueFd socket)
        : path_(std::move(path)), socket_(std::move(socket)) {}
    Result<std::string, std::string> line();
    std::string trouble(std::string_view what) const;

    std::string path_;
    UniqueFd socket_;
    std::chrono::seconds wait_time_{};
    std::string received_;
};

}  // namespace proxyd
