// SPDX-License-Identifier: MIT
#include "tcpshim/first_bytes.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace proxyd::shim {
namespace {

using namespace std::string_view_literals;

constexpr size_t RecordHeaderBytes = 5;  // RFC 8446 section 5.1
constexpr uint8_t HandshakeRecord = 22, ClientHelloMessage = 1;
constexpr size_t MethodBytesMax = 20;

std::string_view as_text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// "" if they don't begin like a request: a word of capitals and a blank.
std::string_view http_method(Bytes first_bytes) {
    const std::string_view text = as_text(first_bytes).substr(0, MethodBytesMax);
    const size_t end = text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (end == std::string_view::npos || end == 0 || text[end] != ' ') return {};
    return text.substr(0, end);
}

bool is_tls(Bytes first_bytes) {
    return first_bytes.size() >= 2 && first_bytes[0] == HandshakeRecord && first_bytes[1] == 3;
}

// A hello may take several records; what follows it, of whatever kind, is not to be repeated.
bool is_client_hello_alone(Bytes bytes) {
    size_t message_left = 0;
    bool is_first = true;
    while (bytes.size() >= RecordHeaderBytes) {
        if (bytes[0] != HandshakeRecord) return false;
        const size_t record_bytes = static_cast<size_t>(bytes[3] << 8 | bytes[4]);
        Bytes payload = bytes.subspan(RecordHeaderBytes);
        const bool is_whole = payload.size() >= record_bytes;
        payload = payload.first(std::min(payload.size(), record_bytes));
        if (is_first) {
            if (payload.size() < 4) return !is_whole || payload.empty();
            if (payload[0] != ClientHelloMessage) return false;
            message_left = 4 + static_cast<size_t>(payload[1] << 16 | payload[2] << 8 | payload[3]);
            is_first = false;
        }
        if (payload.size() > message_left) return false;
        message_left -= payload.size();
        if (!is_whole) return true;
        bytes = bytes.subspan(RecordHeaderBytes + record_bytes);
        if (message_left == 0) return bytes.empty();
    }
    return true;
}

bool is_one_head(Bytes first_bytes) {
    constexpr std::string_view HeadEnd = "\r\n\r\n";
    const size_t end = as_text(first_bytes).find(HeadEnd);
    return end == std::string_view::npos || end + HeadEnd.size() == first_bytes.size();
}

}  // namespace

ClientSpeaks recognise_client(Bytes first_bytes) {
    if (first_bytes.empty()) return ClientSpeaks::Nothing;
    if (is_tls(first_bytes)) return ClientSpeaks::Tls;
    const std::string_view method = http_method(first_bytes);
    // HTTP/2 with prior knowledge begins with the "request" PRI (RFC 9113 section 3.4).
    if (method.empty() || method == "PRI") return ClientSpeaks::Other;
    return ClientSpeaks::Http;
}

bool is_harmless_to_repeat(Bytes first_bytes) {
    if (first_bytes.empty()) return true;
    if (is_tls(first_bytes)) return is_client_hello_alone(first_bytes);
    constexpr std::array SafeMethods = {"GET"sv, "HEAD"sv, "OPTIONS"sv};
    return std::ranges::find(SafeMethods, http_method(first_bytes)) != SafeMethods.end() &&
           is_one_head(first_bytes);
}

}  // namespace proxyd::shim
