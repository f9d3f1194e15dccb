// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "proxyd/http_token.h"

namespace proxyd {
namespace {

constexpr uint8_t TlsHandshakeRecord = 22;
constexpr size_t MethodBytesMax = 31;  // the longest registered one has 17 ("UPDATEREDIRECTREF")
constexpr std::string_view SshBanner = "SSH-";  // RFC 4253 section 4.2

// A request line, or what may become one: a token and a space. An SSH banner looks just like it
// when it has a comment ("SSH-2.0-OpenSSH_9.2p1 Debian-2"), so it is told apart by its beginning.
std::optional<Protocol> recognise_text(std::string_view text) {
    const size_t length_seen = std::min(text.size(), SshBanner.size());
    if (text.substr(0, length_seen) == SshBanner.substr(0, length_seen)) {
        if (length_seen < SshBanner.size()) return std::nullopt;
        return Protocol::Unknown;
    }
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == ' ') return i == 0 ? Protocol::Unknown : Protocol::Http;
        if (i == MethodBytesMax || !is_token_character(text[i])) return Protocol::Unknown;
    }
    return std::nullopt;
}

}  // namespace

std::string_view protocol_word(Protocol protocol) {
    switch (protocol) {
        case Protocol::Unknown:
            return "-";
        case Protocol::Tls:
            return "tls";
        case Protocol::Http:
            return "http";
    }
    __builtin_unreachable();
}

std::optional<Protocol> recognise_protocol(Bytes bytes) {
    if (bytes.empty()) return std::nullopt;
    if (bytes[0] == TlsHandshakeRecord) return Protocol::Tls;

    // One empty line may stand before a request (RFC 9112 section 2.2).
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (text == "\r") return std::nullopt;
    if (text.starts_with('\n'))
        text.remove_prefix(1);
    else if (text.starts_with("\r\n"))
        text.remove_prefix(2);
    return recognise_text(text);
}

}  // namespace proxyd
