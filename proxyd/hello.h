// SPDX-License-Identifier: MIT
//
// Hello: what a client says before anybody answers, and from which its name is taken: a TLS
// ClientHello, the head of an HTTP/1.x request, or HTTP/2's preface and first request. The parsers
// are pure functions over the bytes that were seen so far, always from the first one. Used by
// session; they know nothing of sockets.
#pragma once

#include "base/handoff/dns_name.h"
#include "base/posix/byte_reader.h"
#include "proxyd/alpn_list.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace proxyd {

enum class Protocol {
    Unknown,  // not yet
    Tls,
    Http,    // HTTP/1.x
    Http2,   // with prior knowledge, without TLS
    Ssh,     // has no names
    Silent,  // has said nothing: waits for the server to speak first
    Other,   // has said something else
};

// "-" (not known yet), "tls", "http", "h2", "ssh", "silent", "other": the words of the access log.
std::string_view protocol_word(Protocol protocol);

// The other way round; nothing: no protocol is called so.
std::optional<Protocol> protocol_of_word(std::string_view word);

// The key of the route for a protocol's clients: "@tls", "@http" (both versions), "@ssh",
// "@silent", "@other"; "" if it is not known yet.
std::string_view protocol_class(Protocol protocol);

// Whether "*" covers the protocol's clients: only where clients have names.
bool has_names(Protocol protocol);

// Not all there yet. It is no use to look again before `bytes_min` bytes are there, counted from
// the first one; more than were seen, always.
struct NeedMore {
    size_t bytes_min = 0;
    uint32_t http2_stream = 0;  // see Hello
};

// The client said where it wants to go.
struct Hello {
    std::optional<DnsName> name;  // none: the client gave no name
    AlpnList alpn;                // TLS only
    bool has_ech = false;         // TLS only; a GREASE one looks the same (RFC 9849 section 6.2)
    uint32_t http2_stream = 0;    // HTTP/2 only: of its request, to answer it; 0: not seen yet
};

// Not what the protocol allows, or a name that must not be used.
struct Malformed {
    std::string_view reason;  // one word of the access log, static: e.g. "name_too_long"
    std::string offending;    // the name as the client sent it, raw bytes; empty if it's not a name
    uint32_t http2_stream = 0;  // see Hello
};

using HelloOutcome = std::variant<NeedMore, Hello, Malformed>;

// What the bytes are. Nothing: more bytes are needed to tell. Never Unknown or Silent.
std::optional<Protocol> recognise_protocol(Bytes bytes);

// With the protocol's own parser; for one that has no names, a hello without a name.
HelloOutcome parse_hello(Protocol protocol, Bytes bytes);

// RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3, RFC 7301, RFC 9849.
HelloOutcome parse_client_hello(Bytes bytes);

// RFC 9112 sections 2 to 5.
HelloOutcome parse_http_request_head(Bytes bytes);

// RFC 9113 sections 3.4, 4, 6 and 8.3.
HelloOutcome parse_http2_request_head(Bytes bytes);

}  // namespace proxyd
