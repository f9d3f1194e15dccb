// SPDX-License-Identifier: MIT
#include "proxyd/hello.h"
#include "proxyd/http2_header_list.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/hello_text.h"
#include "tests/unit/catch.h"

#include <string>

namespace proxyd {
namespace {

using namespace std::string_literals;

const std::string Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string u32(size_t value) {
    return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
            static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string frame(int type, int flags, uint32_t stream, const std::string& payload) {
    return u32(payload.size()).substr(1) + static_cast<char>(type) + static_cast<char>(flags) +
           u32(stream) + payload;
}

// A literal without indexing, neither part Huffman-coded.
std::string field(const std::string& name, const std::string& value) {
    const auto text = [](const std::string& content) {
        if (content.size() < 127) return static_cast<char>(content.size()) + content;
        const size_t rest = content.size() - 127;  // RFC 7541 section 5.1, up to 16 K more
        return "\x7f"s + static_cast<char>(0x80 | (rest & 0x7f)) + static_cast<char>(rest >> 7) +
               content;
    };
    return "\0"s + text(name) + text(value);
}

const std::string Settings = frame(4, 0, 0, "");
const std::string Beginning = Preface + Settings;
const std::string Get = "\x82\x86\x84"s;  // GET, http, / in the static table
const std::string Name = field(":authority", "blog.example.org");

constexpr int EndHeaders = 4, Padded = 8, HasPriority = 0x20;

std::string request(const std::string& block, uint32_t stream = 1, int flags = EndHeaders) {
    return frame(1, flags, stream, block);
}

HelloOutcome parse(const std::string& text) {
    return parse_http2_request_head(test::bytes_of(text));
}

std::string found(const std::string& text) {
    return test::text_of(parse(text));
}

// Of a request whose fields are those.
std::string found_in(const std::string& block) {
    return found(Beginning + request(block));
}

size_t bytes_min(const std::string& text) {
    const HelloOutcome outcome = parse(text);
    REQUIRE(std::holds_alternative<NeedMore>(outcome));
    return std::get<NeedMore>(outcome).bytes_min;
}

TEST_CASE("the first request's authority is the name", "[http2_request_head]") {
    CHECK(found_in(Get + Name) == "name=blog.example.org");
    CHECK(found_in(Get + field(":authority", "BLOG.example.org.:8443")) == "name=blog.example.org");
    CHECK(found_in(Get + Name + field("accept", "*/*")) == "name=blog.example.org");
    CHECK(found_in(field(":method", "CONNECT") + Name) == "name=blog.example.org");
}

TEST_CASE("Host is the name where there is no authority", "[http2_request_head]") {
    CHECK(found_in(Get + field("host", "blog.example.org:80")) == "name=blog.example.org");
    CHECK(found_in(Get + Name + field("host", "Blog.Example.Org")) == "name=blog.example.org");
    CHECK(found_in(Get + Name + field("host", "other.example.org")) ==
          "two_names: other.example.org");
    CHECK(found_in(Get + Name + field("host", "")) == "two_names");
    CHECK(found_in(Get + field(":authority", "") + field("host", "a.example")) ==
          "two_names: a.example");
    CHECK(found_in(Get + field("host", "a.example") + field("host", "a.example")) ==
          "two_names: a.example");
    CHECK(found_in(Get) == "http_host_missing");
    CHECK(found_in(Get + field(":authority", "")) == "name=-");
    CHECK(found_in(Get + field("host", "")) == "name=-");
}

TEST_CASE("names are checked as everywhere", "[http2_request_head]") {
    CHECK(found_in(Get + field(":authority", "127.0.0.1:80")) == "name_is_ip_literal: 127.0.0.1");
    CHECK(found_in(Get + field(":authority", "a@b")) == "name_has_forbidden_character: a@b");
    CHECK(found_in(Get + field(":authority", "a:b")) == "h2_authority: a:b");
    CHECK(found_in(Get + field("host", "[::1")) == "http_host_malformed: [::1");
    CHECK(found_in(Get + field(":authority", "../x")) == "name_has_empty_label: ../x");
}

TEST_CASE("the preface is exact", "[http2_request_head]") {
    CHECK(found("PRI * HTTP/2.0\r\n\r\nSM\r\n\r") == "more");
    CHECK(found("PRI * HTTP/2.0\r\n\r\nSX") == "h2_preface");
    CHECK(found("PRI * HTTP/2.0\r\nHost: a\r\n\r\n") == "h2_preface");
    CHECK(bytes_min("PRI * HTTP/2.0\r\n") == 24 + 9);
    CHECK(bytes_min(Preface) == 24 + 9);
}

TEST_CASE("needs exactly the rest of a frame, or the next one's header", "[http2_request_head]") {
    const std::string window_update = frame(8, 0, 0, u32(1000));
    CHECK(bytes_min(Preface + frame(4, 0, 0, std::string(6, '\0')).substr(0, 10)) == 24 + 9 + 6);
    CHECK(bytes_min(Beginning) == 33 + 9);
    CHECK(bytes_min(Beginning + window_update.substr(0, 9)) == 33 + 13);
    CHECK(bytes_min(Beginning + window_update) == 33 + 13 + 9);
    const std::string headers = request(Get + Name);
    CHECK(bytes_min(Beginning + headers.substr(0, 9)) == 33 + headers.size());
    CHECK(bytes_min(Beginning + headers.substr(0, headers.size() - 1)) == 33 + headers.size());
    const std::string unfinished = request(Get, 1, 0);
    CHECK(bytes_min(Beginning + unfinished) == 33 + unfinished.size() + 9);
    CHECK(bytes_min(Beginning + unfinished + frame(9, 4, 1, Name).substr(0, 9)) ==
          33 + unfinished.size() + 9 + Name.size());
}

TEST_CASE("the first frame is SETTINGS", "[http2_request_head]") {
    CHECK(found(Preface + request(Get + Name)) == "h2_settings_missing");
    CHECK(found(Preface + frame(4, 1, 0, "")) == "h2_settings_missing");
    CHECK(found(Preface + frame(8, 0, 0, u32(1))) == "h2_settings_missing");
    CHECK(found(Beginning + frame(4, 1, 0, "")) == "h2_settings");
}

TEST_CASE("settings have values that they can have", "[http2_request_head]") {
    const auto setting = [](int key, size_t value) {
        return found(Preface + frame(4, 0, 0, "\0"s + static_cast<char>(key) + u32(value)));
    };
    CHECK(setting(2, 1) == "more");
    CHECK(setting(2, 2) == "h2_settings");
    CHECK(setting(4, 0x7fffffff) == "more");
    CHECK(setting(4, 0x80000000) == "h2_settings");
    CHECK(setting(5, 16383) == "h2_settings");
    CHECK(setting(5, 16384) == "more");
    CHECK(setting(5, 0xffffff) == "more");
    CHECK(setting(5, 0x1000000) == "h2_settings");
    CHECK(setting(99, 0xffffffff) == "more");
}

TEST_CASE("frames before the request are passed over", "[http2_request_head]") {
    const std::string frames = frame(8, 0, 0, u32(1)) + frame(2, 0, 3, std::string(5, '\0')) +
                               frame(6, 0, 0, std::string(8, '\0')) +
                               frame(7, 0, 0, std::string(8, '\0')) + Settings +
                               frame(0x10, 0, 0, "\0\0\0\x01u=1"s) + frame(0xff, 0xff, 7, "grease");
    CHECK(found(Beginning + frames + request(Get + Name, 13)) == "name=blog.example.org");
}

TEST_CASE("frames before the request are right", "[http2_request_head]") {
    CHECK(found(Beginning + frame(0, 0, 1, "x")) == "h2_frame_before_headers");
    CHECK(found(Beginning + frame(3, 0, 1, u32(0))) == "h2_frame_before_headers");
    CHECK(found(Beginning + frame(5, 4, 1, u32(2))) == "h2_frame_before_headers");
    CHECK(found(Beginning + frame(9, 4, 1, Get + Name)) == "h2_frame_before_headers");
    CHECK(found(Beginning + frame(8, 0, 0, u32(0))) == "h2_window_update");
    CHECK(found(Beginning + frame(8, 0, 0, u32(0x80000000))) == "h2_window_update");
    CHECK(found(Beginning + frame(8, 0, 1, u32(1))) == "h2_stream");
    CHECK(found(Beginning + frame(8, 0, 0, "123")) == "h2_frame_length");
    CHECK(found(Beginning + frame(2, 0, 0, "12345")) == "h2_stream");
    CHECK(found(Beginning + frame(2, 0, 3, "1234")) == "h2_frame_length");
    CHECK(found(Beginning + frame(6, 0, 1, "12345678")) == "h2_stream");
    CHECK(found(Beginning + frame(6, 0, 0, "123456789")) == "h2_frame_length");
    CHECK(found(Beginning + frame(7, 0, 0, "1234567")) == "h2_frame_length");
    CHECK(found(Preface + frame(4, 0, 1, "")) == "h2_stream");
    CHECK(found(Preface + frame(4, 0, 0, "12345")) == "h2_frame_length");
}

TEST_CASE("a request has a stream of its own", "[http2_request_head]") {
    CHECK(found(Beginning + request(Get + Name, 0)) == "h2_stream");
    CHECK(found(Beginning + request(Get + Name, 2)) == "h2_stream");
    CHECK(found(Beginning + request(Get + Name, 0x7fffffff)) == "name=blog.example.org");
    CHECK(found(Beginning + request(Get + Name, 0x80000001)) == "name=blog.example.org");
}

TEST_CASE("the request's stream is told, to answer on it", "[http2_request_head]") {
    CHECK(std::get<Hello>(parse(Beginning + request(Get + Name, 13))).http2_stream == 13);
    CHECK(std::get<Malformed>(parse(Beginning + request(Get, 13))).http2_stream == 13);
    CHECK(std::get<NeedMore>(parse(Beginning + request(Get, 13, 0))).http2_stream == 13);
    CHECK(std::get<NeedMore>(parse(Beginning)).http2_stream == 0);
}

TEST_CASE("a frame has at most 16384 bytes", "[http2_request_head]") {
    const std::string longest = Get + Name + field("cookie", std::string(16350 - 29, 'c'));
    const auto padded_to = [&](size_t size) {
        return longest + field("a", std::string(size, 'x'));
    };
    const size_t rest = 16384 - longest.size() - 4;
    REQUIRE(padded_to(rest).size() == 16384);
    CHECK(found(Beginning + request(padded_to(rest))) == "name=blog.example.org");
    CHECK(found(Beginning + request(padded_to(rest + 1))) == "h2_frame_too_long");
    CHECK(found(Beginning + frame(0xee, 0, 0, std::string(16385, 'x'))) == "h2_frame_too_long");
    CHECK(found(Beginning + request(Get, 1, 0) + frame(9, 4, 1, padded_to(rest + 1))) ==
          "h2_frame_too_long");
}

TEST_CASE("padding and priority are no part of the fields", "[http2_request_head]") {
    const std::string block = Get + Name;
    CHECK(found(Beginning + request("\x03"s + block + "\0\0\0"s, 1, EndHeaders | Padded)) ==
          "name=blog.example.org");
    CHECK(found(Beginning + request("12345" + block, 1, EndHeaders | HasPriority)) ==
          "name=blog.example.org");
    CHECK(found(Beginning + request("\x01"s + "12345" + block + "\0"s, 1,
                                    EndHeaders | Padded | HasPriority)) == "name=blog.example.org");
    CHECK(found(Beginning + request("\x03\0\0"s, 1, EndHeaders | Padded)) == "h2_padding");
    CHECK(found(Beginning + request("\x02\0\0"s, 1, EndHeaders | Padded)) == "h2_pseudo_header");
    CHECK(found(Beginning + request("\x01"s + "12345", 1, EndHeaders | Padded | HasPriority)) ==
          "h2_padding");
    CHECK(found(Beginning + request("", 1, EndHeaders | Padded)) == "h2_frame_length");
    CHECK(found(Beginning + request("1234", 1, EndHeaders | HasPriority)) == "h2_frame_length");
    CHECK(found(Beginning + request("12345", 1, EndHeaders | Padded | HasPriority)) ==
          "h2_frame_length");
}

TEST_CASE("the fields may go on in CONTINUATION frames, cut anywhere", "[http2_request_head]") {
    const std::string block = Get + Name;
    for (size_t cut = 0; cut <= block.size(); cut++)
        CHECK(found(Beginning + request(block.substr(0, cut), 1, 0) + frame(9, 0, 1, "") +
                    frame(9, 4, 1, block.substr(cut))) == "name=blog.example.org");
    CHECK(found(Beginning + request(Get, 1, 0) + frame(9, 4, 3, Name)) == "h2_continuation");
    CHECK(found(Beginning + request(Get, 1, 0) + frame(8, 0, 0, u32(1))) == "h2_continuation");
    CHECK(found(Beginning + request(Get, 1, 0) + frame(0xee, 0, 1, "")) == "h2_continuation");
}

TEST_CASE("pseudo-headers are there once, in front, and known", "[http2_request_head]") {
    CHECK(found_in(Name) == "h2_pseudo_header");
    CHECK(found_in("\x82\x86"s + Name) == "h2_pseudo_header");
    CHECK(found_in("\x82\x84"s + Name) == "h2_pseudo_header");
    CHECK(found_in(Get + "\x82"s + Name) == "h2_pseudo_header");
    CHECK(found_in(Get + Name + Name) == "h2_pseudo_header");
    CHECK(found_in(Get + field("a", "b") + Name) == "h2_pseudo_header");
    CHECK(found_in(Get + Name + field(":protocol", "websocket")) == "h2_pseudo_header");
    CHECK(found_in(Get + Name + field(":status", "200")) == "h2_pseudo_header");
    CHECK(found_in(field(":method", "CONNECT") + "\x86"s + Name) == "h2_pseudo_header");
    CHECK(found_in(field(":method", "CONNECT") + field("host", "a")) == "h2_pseudo_header");
    CHECK(found_in("\x82\x86"s + field(":path", "") + Name) == "h2_pseudo_header");
}

TEST_CASE("fields have no characters that they can't have", "[http2_request_head]") {
    CHECK(found_in(Get + Name + field("Host", "a")) == "h2_header_field");
    CHECK(found_in(Get + Name + field("", "a")) == "h2_header_field");
    CHECK(found_in(Get + Name + field("a b", "a")) == "h2_header_field");
    CHECK(found_in(Get + Name + field("a", "b\r\nhost: c")) == "h2_header_field");
    CHECK(found_in(Get + Name + field("a", "b\0"s)) == "h2_header_field");
    CHECK(found_in(Get + Name + field("a", " b\t")) == "name=blog.example.org");
    CHECK(found_in(Get + field("host", " b")) == "name_has_forbidden_character:  b");
    CHECK(found_in(Get + field(":authority", "a\0b"s)) == "h2_header_field");
    CHECK(found_in(Get + Name + field("a", "")) == "name=blog.example.org");
}

TEST_CASE("a field block that can't be decoded is refused", "[http2_request_head]") {
    CHECK(found_in("\x80") == "h2_hpack");                       // index 0
    CHECK(found_in("\xff\xff\xff\xff\xff\xff") == "h2_hpack");   // a number without end
    CHECK(found_in(Get + Name.substr(0, 10)) == "h2_hpack");     // cut short
    CHECK(found_in("\x3f\xe2\x1f" + Get + Name) == "h2_hpack");  // a table of 4097 bytes
    CHECK(found_in("\x3f\xe1\x1f" + Get + Name) == "name=blog.example.org");  // of 4096
}

TEST_CASE("a small block can't become an endless list", "[http2_request_head]") {
    // An entry of 4,000 bytes in the dynamic table, and then its index again and again.
    const std::string entry = "\x40"s + field("a", std::string(3967, 'x')).substr(1);
    const size_t fields = HeaderListBytesMax / 4000;
    const std::string block = Get + Name + entry;
    CHECK(found_in(block + std::string(fields - 2, '\xbe')) == "name=blog.example.org");
    CHECK(found_in(block + std::string(fields, '\xbe')) == "h2_header_list_too_long");
}

}  // namespace
}  // namespace proxyd
