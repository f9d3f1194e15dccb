// SPDX-License-Identifier: MIT
#include "proxyd/refusal.h"

#include <fmt/format.h>

#include <cstdint>

namespace proxyd {
namespace {

// RFC 8446 section 6.
enum AlertDescription : uint8_t {
    AccessDenied = 49,
    DecodeError = 50,
    InternalError = 80,
    UnrecognizedName = 112
};

struct Wording {
    AlertDescription alert;
    std::string_view status;
    std::string_view sentence;
};

Wording wording_of(Refusal refusal) {
    switch (refusal) {
        case Refusal::NoRoute:
            return {UnrecognizedName, "421 Misdirected Request", "no site has this name"};
        case Refusal::SiteTrouble:
            return {InternalError, "503 Service Unavailable", "the site does not answer"};
        case Refusal::Limit:
            return {InternalError, "503 Service Unavailable", "too many connections"};
        case Refusal::Malformed:
            return {DecodeError, "400 Bad Request", "this request can't be understood"};
        case Refusal::Address:
            return {DecodeError, "400 Bad Request", "ask for a name, not for an IP address"};
        case Refusal::Forbidden:
            return {AccessDenied, "403 Forbidden", "your address may not come here"};
        case Refusal::TooLate:
            return {DecodeError, "408 Request Timeout", "the request did not come in time"};
    }
    return {InternalError, "503 Service Unavailable", ""};
}

std::string tls_alert(AlertDescription description) {
    constexpr char ContentTypeAlert = 21, LevelFatal = 2;
    return {ContentTypeAlert, 3, 3, 0, 2, LevelFatal, static_cast<char>(description)};
}

std::string http_response(const Wording& wording, std::string_view reason) {
    const std::string body = fmt::format("proxyd: {} ({})\n", wording.sentence, reason);
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: "
        "close\r\n\r\n{}",
        wording.status, body.size(), body);
}

}  // namespace

std::string refusal_answer(Protocol protocol, Refusal refusal, std::string_view reason) {
    const Wording wording = wording_of(refusal);
    switch (protocol) {
        case Protocol::Tls:
            return tls_alert(wording.alert);
        case Protocol::Http:
            return http_response(wording, reason);
        case Protocol::Unknown:
            return {};
    }
    return {};
}

}  // namespace proxyd
