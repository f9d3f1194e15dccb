// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "proxyd/http_token.h"

#include <array>

namespace proxyd {
namespace {

constexpr uint8_t TlsHandshakeRecord = 22;
constexpr size_t MethodBytesMax = 31;  // the longest registered one has 17 ("UPDATEREDIRECTREF")

// Both look just like a request line, the banner only if it has a comment
// ("SSH-2.0-OpenSSH_9.2p1 Debian-2"), so they are told apart by their beginnings.
struct Beginning {
    std::string_view text;
    Protocol protocol;
};
constexpr std::array<Beginning, 2> Beginnings = {{
    {"SSH-", Protocol::Ssh},                  // RFC 4253 section 4.2
    {"PRI * HTTP/2.0\r\n", Protocol::Http2},  // RFC 9113 section 3.4
}};

// A request line, or what may become one: a token and a space.
std::optional<Protocol> recognise_request_line(std::string_view text) {
    for (size_t i = 0; i < text.size(); i++) {
        if (text[i] == ' ') return i == 0 ? Protocol::Other : Protocol::Http;
        if (i == MethodBytesMax || !is_token_character(text[i])) return Protocol::Other;
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
        case Protocol::Http2:
            return "h2";
        case Protocol::Ssh:
            return "ssh";
        case Protocol::Silent:
            return "silent";
        case Protocol::Other:
            return "other";
    }
    __builtin_unreachable();
}

std::optional<Protocol> protocol_of_word(std::string_view word) {
    for (const Protocol protocol : {Protocol::Tls, Protocol::Http, Protocol::Http2, Protocol::Ssh,
                                    Protocol::Silent, Protocol::Other})
        if (protocol_word(protocol) == word) return protocol;
    return std::nullopt;
}

std::string_view protocol_class(Protocol protocol) {
    switch (protocol) {
        case Protocol::Unknown:
            return "";
        case Protocol::Tls:
            return "@tls";
        case Protocol::Http:
        case Protocol::Http2:
            return "@http";
        case Protocol::Ssh:
            return "@ssh";
        case Protocol::Silent:
            return "@silent";
        case Protocol::Other:
            return "@other";
    }
    __builtin_unreachable();
}

bool has_names(Protocol protocol) {
    return protocol == Protocol::Tls || protocol == Protocol::Http || protocol == Protocol::Http2;
}

std::optional<Protocol> recognise_protocol(Bytes bytes) {
    if (bytes.empty()) return std::nullopt;
    if (bytes[0] == TlsHandshakeRecord) return Protocol::Tls;

    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    for (const Beginning& beginning : Beginnings) {
        if (text.starts_with(beginning.text)) return beginning.protocol;
        if (beginning.text.starts_with(text)) return std::nullopt;
    }
    // One empty line may stand before a request (RFC 9112 section 2.2).
    if (text == "\r") return std::nullopt;
    if (text.starts_with('\n'))
        text.remove_prefix(1);
    else if (text.starts_with("\r\n"))
        text.remove_prefix(2);
    return recognise_request_line(text);
}

HelloOutcome parse_hello(Protocol protocol, Bytes bytes) {
    switch (protocol) {
        case Protocol::Tls:
            return parse_client_hello(bytes);
        case Protocol::Http:
            return parse_http_request_head(bytes);
        case Protocol::Http2:
            return parse_http2_request_head(bytes);
        case Protocol::Unknown:
        case Protocol::Ssh:
        case Protocol::Silent:
        case Protocol::Other:
            return Hello{};
    }
    __builtin_unreachable();
}

}  // namespace proxyd
