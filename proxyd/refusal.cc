// SPDX-License-Identifier: MIT
#include "proxyd/refusal.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace proxyd {
namespace {

// RFC 8446 section 6.
enum AlertDescription : uint8_t {
    AccessDenied = 49,
    DecodeError = 50,
    InternalError = 80,
    UnrecognizedName = 112,
};
// RFC 9113 section 7.
enum Http2Error : uint8_t { NoError = 0, ProtocolError = 1 };
// RFC 4253 section 11.1.
enum SshDisconnect : uint8_t {
    HostNotAllowed = 1,
    SshProtocolError = 2,
    ServiceNotAvailable = 7,
};

struct Wording {
    AlertDescription alert;
    SshDisconnect disconnect;
    std::string_view status;
    std::string_view sentence;
};

Wording wording_of(Refusal refusal) {
    switch (refusal) {
        case Refusal::NoRoute:
            return {UnrecognizedName, ServiceNotAvailable, "421 Misdirected Request",
                    "no site has this name"};
        case Refusal::SiteTrouble:
            return {InternalError, ServiceNotAvailable, "503 Service Unavailable",
                    "the site does not answer"};
        case Refusal::Limit:
            return {InternalError, ServiceNotAvailable, "503 Service Unavailable",
                    "too many connections"};
        case Refusal::Stopping:
            return {InternalError, ServiceNotAvailable, "503 Service Unavailable",
                    "this proxy stops"};
        case Refusal::Malformed:
            return {DecodeError, SshProtocolError, "400 Bad Request",
                    "this request can't be understood"};
        case Refusal::Address:
            return {DecodeError, SshProtocolError, "400 Bad Request",
                    "ask for a name, not for an IP address"};
        case Refusal::Forbidden:
            return {AccessDenied, HostNotAllowed, "403 Forbidden", "not from your address"};
        case Refusal::TooLate:
            return {DecodeError, SshProtocolError, "408 Request Timeout",
                    "the request did not come in time"};
    }
    return {InternalError, ServiceNotAvailable, "503 Service Unavailable", ""};
}

std::string u32(size_t value) {
    return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
            static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string text_of(std::string_view sentence, std::string_view reason) {
    return fmt::format("proxyd: {} ({})", sentence, reason);
}

std::string tls_alert(AlertDescription description) {
    constexpr char ContentTypeAlert = 21, LevelFatal = 2;
    return {ContentTypeAlert, 3, 3, 0, 2, LevelFatal, static_cast<char>(description)};
}

std::string http_response(const Wording& wording, std::string_view reason) {
    const std::string body = text_of(wording.sentence, reason) + "\n";
    return fmt::format(
        "HTTP/1.1 {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: "
        "close\r\n\r\n{}",
        wording.status, body.size(), body);
}

// RFC 9113 section 4.1.
std::string http2_frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
    return u32(payload.size()).substr(1) + static_cast<char>(type) + static_cast<char>(flags) +
           u32(stream) + std::string(payload);
}

// Literals without indexing, the name from the static table (RFC 7541 section 6.2.2, appendix A).
std::string hpack_field(size_t static_index, std::string_view value) {
    constexpr size_t PrefixMax = 15;
    std::string field;
    field += static_cast<char>(std::min(static_index, PrefixMax));
    if (static_index >= PrefixMax) field += static_cast<char>(static_index - PrefixMax);
    field += static_cast<char>(value.size());
    return field.append(value);
}

std::string http2_response(const Wording& wording, std::string_view reason, bool is_clients_fault,
                           uint32_t stream) {
    enum FrameType : uint8_t { Data = 0, Headers = 1, Settings = 4, GoAway = 7 };
    enum Flag : uint8_t { Ack = 0x1, EndStream = 0x1, EndHeaders = 0x4 };
    enum StaticIndex : size_t { Status = 8, ContentLength = 28, ContentType = 31 };

    std::string answer = http2_frame(Settings, 0, 0, "");
    const std::string body = text_of(wording.sentence, reason) + "\n";
    if (stream == 0)
        return answer +
               http2_frame(GoAway, 0, 0,
                           u32(0) + u32(is_clients_fault ? ProtocolError : NoError) + body);
    const std::string fields = hpack_field(Status, wording.status.substr(0, 3)) +
                               hpack_field(ContentType, "text/plain") +
                               hpack_field(ContentLength, std::to_string(body.size()));
    return answer + http2_frame(Settings, Ack, 0, "") +
           http2_frame(Headers, EndHeaders, stream, fields) +
           http2_frame(Data, EndStream, stream, body) +
           http2_frame(GoAway, 0, 0, u32(stream) + u32(NoError));
}

// A version line, and a packet in clear, as all are before the keys have been exchanged (RFC 4253
// sections 4.2, 6 and 11.1). A server may not send lines that the client shows before its version.
std::string ssh_disconnect(const Wording& wording, Refusal refusal, std::string_view reason) {
    constexpr char DisconnectMessage = 1;
    constexpr size_t BlockBytes = 8, LengthBytes = 4, PaddingLengthBytes = 1, PaddingBytesMin = 4;

    const std::string sentence =
        text_of(refusal == Refusal::NoRoute ? "SSH is not served here" : wording.sentence, reason);
    const std::string payload = DisconnectMessage + u32(wording.disconnect) + u32(sentence.size()) +
                                sentence + u32(0);  // no language tag
    const size_t unpadded = LengthBytes + PaddingLengthBytes + payload.size();
    const size_t padding =
        PaddingBytesMin + (BlockBytes - (unpadded + PaddingBytesMin) % BlockBytes) % BlockBytes;
    return "SSH-2.0-proxyd\r\n" + u32(PaddingLengthBytes + payload.size() + padding) +
           static_cast<char>(padding) + payload + std::string(padding, '\0');
}

}  // namespace

std::string refusal_answer(Protocol protocol, Refusal refusal, std::string_view reason,
                           uint32_t http2_stream) {
    const Wording wording = wording_of(refusal);
    switch (protocol) {
        case Protocol::Tls:
            return tls_alert(wording.alert);
        case Protocol::Http:
            return http_response(wording, reason);
        case Protocol::Http2:
            return http2_response(wording, reason, refusal == Refusal::Malformed, http2_stream);
        case Protocol::Ssh:
            return ssh_disconnect(wording, refusal, reason);
        case Protocol::Unknown:
        case Protocol::Silent:
        case Protocol::Other:
            return {};
    }
    return {};
}

}  // namespace proxyd
