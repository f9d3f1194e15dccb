// SPDX-License-Identifier: MIT
#include "tcpshim/closing_words.h"

#include <fmt/format.h>

namespace proxyd::shim {
namespace {

std::string_view status_of(ConnectFailure failure) {
    switch (failure) {
        case ConnectFailure::TimedOut:
            return "504 Gateway Timeout";
        case ConnectFailure::Full:
        case ConnectFailure::NoneUp:
        case ConnectFailure::Local:
            return "503 Service Unavailable";
        case ConnectFailure::Refused:
        case ConnectFailure::Unreachable:
        case ConnectFailure::NotResolved:
        case ConnectFailure::ClosedEarly:
            return "502 Bad Gateway";
        case ConnectFailure::Loop:
            return "508 Loop Detected";
    }
    return "502 Bad Gateway";
}

}  // namespace

std::string closing_words(ClientSpeaks protocol, ConnectFailure failure) {
    if (protocol == ClientSpeaks::Tls) {
        constexpr char Alert = 21, Fatal = 2, InternalError = 80;
        return {Alert, 3, 3, 0, 2, Fatal, InternalError};
    }
    if (protocol != ClientSpeaks::Http) return {};
    const std::string body =
        fmt::format("tcpshim: the server behind this name does not answer ({})\n",
                    connect_failure_word(failure));
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: "
        "close\r\n\r\n{}",
        status_of(failure), body.size(), body);
}

}  // namespace proxyd::shim
