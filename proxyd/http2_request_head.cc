// SPDX-License-Identifier: MIT
//
// HTTP/2 with prior knowledge: the client's preface, its frames up to the first HEADERS, and the
// CONTINUATION frames behind that, if its field block goes on there. What a client may send before
// its first request is passed over. Only the default settings count, since no server has spoken
// yet. Frames are judged in their order, so that more bytes never change a verdict.
//
// The reasons of Malformed, and what they mean:
//   h2_preface              not "PRI * HTTP/2.0 CRLF CRLF SM CRLF CRLF"
//   h2_settings_missing     the first frame is not SETTINGS, or acknowledges some
//   h2_frame_too_long       a frame's length is over 16384
//   h2_frame_length         the length is not one that frames of this type have
//   h2_stream               a stream on which such a frame can't be: 0 for what belongs to one,
//                           another for what doesn't, an even one for a request
//   h2_settings             a setting has a value that it can't have, or nothing was to acknowledge
//   h2_window_update        the increment is 0
//   h2_frame_before_headers DATA, RST_STREAM, PUSH_PROMISE or CONTINUATION without a request
//   h2_padding              longer than the frame that it pads
//   h2_continuation         another frame than CONTINUATION inside a request's field block
//   h2_hpack                the field block can't be decoded
//   h2_header_list_too_long decoded, it has more than 65536 bytes
//   h2_header_field         a name or a value with a character that they don't have
//   h2_pseudo_header        one that is unknown, missing, there twice, or behind ordinary fields
//   h2_authority            :authority is not "name", "name:port" or "[IPv6]:port"
//   http_host_missing       neither :authority nor Host
//   http_host_malformed     Host is not "name", "name:port" or "[IPv6]:port"
//   two_names               Host came twice, or is not the host of :authority
//   name_...                the name must not be used: name_flaw_word()
//   out_of_memory           there was none for the decoder
#include "proxyd/hello.h"
#include "proxyd/http2_header_list.h"

#include <algorithm>
#include <vector>

namespace proxyd {
namespace {

constexpr std::string_view Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t FrameHeaderBytes = 9;
constexpr size_t FramePayloadBytesMax = 16384;
constexpr size_t SettingBytes = 6, PriorityBytes = 5;
constexpr uint32_t WindowBytesMax = 0x7fffffff;

// RFC 9113 section 6.
enum FrameType : uint8_t {
    Data = 0,
    Headers = 1,
    Priority = 2,
    ResetStream = 3,
    Settings = 4,
    PushPromise = 5,
    Ping = 6,
    GoAway = 7,
    WindowUpdate = 8,
    Continuation = 9,
};
enum Flag : uint8_t { Ack = 0x1, EndHeaders = 0x4, Padded = 0x8, HasPriority = 0x20 };
enum Setting : uint32_t { EnablePush = 2, InitialWindowSize = 4, MaxFrameSize = 5 };

uint32_t u32(Bytes bytes) {
    return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

struct Frame {
    size_t length;
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    Bytes payload;  // what is there of it

    explicit Frame(Bytes bytes)
        : length(size_t{bytes[0]} << 16 | size_t{bytes[1]} << 8 | bytes[2]),
          type(bytes[3]),
          flags(bytes[4]),
          stream(u32(bytes.subspan(5)) & 0x7fffffff),
          payload(bytes.subspan(FrameHeaderBytes)) {
        payload = payload.first(std::min(payload.size(), length));
    }
    bool is_whole() const { return payload.size() == length; }
    bool has(Flag flag) const { return (flags & flag) != 0; }
};

// "": none.
std::string_view flaw_of_settings(Bytes payload) {
    for (; !payload.empty(); payload = payload.subspan(SettingBytes)) {
        const uint32_t key = uint32_t{payload[0]} << 8 | payload[1],
                       value = u32(payload.subspan(2));
        if ((key == EnablePush && value > 1) ||
            (key == InitialWindowSize && value > WindowBytesMax) ||
            (key == MaxFrameSize && (value < FramePayloadBytesMax || value > 0xffffff)))
            return "h2_settings";
    }
    return "";
}

// What can be said before the payload is there. Frames of unknown types are passed over.
std::string_view flaw_of_frame_header(const Frame& frame) {
    if (frame.length > FramePayloadBytesMax) return "h2_frame_too_long";
    const auto check = [&](bool belongs_to_stream, bool length_is_right) {
        if ((frame.stream != 0) != belongs_to_stream) return "h2_stream";
        return length_is_right ? "" : "h2_frame_length";
    };
    switch (frame.type) {
        case Data:
        case ResetStream:
        case PushPromise:
        case Continuation:
            return "h2_frame_before_headers";
        case Settings:
            if (frame.has(Ack)) return "h2_settings";
            return check(false, frame.length % SettingBytes == 0);
        case Priority:
            return check(true, frame.length == PriorityBytes);
        case Ping:
            return check(false, frame.length == 8);
        case GoAway:
            return check(false, frame.length >= 8);
        case WindowUpdate:
            return check(false, frame.length == 4);
        case Headers:
            return frame.stream % 2 == 1 ? "" : "h2_stream";
        default:
            return "";
    }
}

std::string_view flaw_of_payload(const Frame& frame) {
    if (frame.type == Settings) return flaw_of_settings(frame.payload);
    if (frame.type == WindowUpdate && (u32(frame.payload) & 0x7fffffff) == 0)
        return "h2_window_update";
    return "";
}

// The part of the field block that a HEADERS frame has; `flaw` is "" if it is right.
Bytes fragment_of(const Frame& headers, std::string_view& flaw) {
    Bytes rest = headers.payload;
    size_t pad_bytes = 0;
    const size_t fields_bytes =
        (headers.has(Padded) ? 1 : 0) + (headers.has(HasPriority) ? PriorityBytes : 0);
    if (rest.size() < fields_bytes) {
        flaw = "h2_frame_length";
        return {};
    }
    if (headers.has(Padded)) pad_bytes = rest[0];
    rest = rest.subspan(fields_bytes);
    if (pad_bytes > rest.size()) {
        flaw = "h2_padding";
        return {};
    }
    return rest.first(rest.size() - pad_bytes);
}

// From the first HEADERS frame, which begins at `begin`.
HelloOutcome read_request(Bytes bytes, size_t begin) {
    const Frame headers(bytes.subspan(begin));
    const auto malformed = [&](std::string_view reason) {
        return Malformed{reason, {}, headers.stream};
    };
    size_t end = begin + FrameHeaderBytes + headers.length;
    if (!headers.is_whole()) return NeedMore{end, headers.stream};
    std::string_view flaw;
    Bytes block = fragment_of(headers, flaw);
    if (!flaw.empty()) return malformed(flaw);

    std::vector<uint8_t> storage;  // for a block in several frames
    for (bool is_complete = headers.has(EndHeaders); !is_complete;) {
        if (bytes.size() < end + FrameHeaderBytes)
            return NeedMore{end + FrameHeaderBytes, headers.stream};
        const Frame frame(bytes.subspan(end));
        if (frame.length > FramePayloadBytesMax) return malformed("h2_frame_too_long");
        if (frame.type != Continuation || frame.stream != headers.stream)
            return malformed("h2_continuation");
        end += FrameHeaderBytes + frame.length;
        if (!frame.is_whole()) return NeedMore{end, headers.stream};
        if (storage.empty()) storage.assign(block.begin(), block.end());
        storage.insert(storage.end(), frame.payload.begin(), frame.payload.end());
        block = storage;
        is_complete = frame.has(EndHeaders);
    }
    HelloOutcome outcome = read_http2_header_list(block);
    if (auto* hello = std::get_if<Hello>(&outcome)) hello->http2_stream = headers.stream;
    if (auto* flawed = std::get_if<Malformed>(&outcome)) flawed->http2_stream = headers.stream;
    return outcome;
}

}  // namespace

HelloOutcome parse_http2_request_head(Bytes bytes) {
    const size_t preface_bytes = std::min(bytes.size(), Preface.size());
    if (!std::equal(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(preface_bytes),
                    Preface.begin()))
        return Malformed{"h2_preface", {}};
    for (size_t at = Preface.size();;) {
        if (bytes.size() < at + FrameHeaderBytes) return NeedMore{at + FrameHeaderBytes};
        const Frame frame(bytes.subspan(at));
        const bool is_first = at == Preface.size();
        if (is_first && (frame.type != Settings || frame.has(Ack)))
            return Malformed{"h2_settings_missing", {}};
        if (const auto flaw = flaw_of_frame_header(frame); !flaw.empty())
            return Malformed{flaw, {}};
        if (frame.type == Headers) return read_request(bytes, at);
        at += FrameHeaderBytes + frame.length;
        if (!frame.is_whole()) return NeedMore{at};
        if (const auto flaw = flaw_of_payload(frame); !flaw.empty()) return Malformed{flaw, {}};
    }
}

}  // namespace proxyd
