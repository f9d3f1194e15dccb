// SPDX-License-Identifier: MIT
//
// The head of an HTTP/1.x request: its request line and header lines, up to the empty line.
// Stricter than most servers where they differ among themselves about which name a request has:
// such heads are the tools of request smuggling. Lines are judged in their order, so that more
// bytes never change a verdict.
//
// The reasons of Malformed, and what they mean:
//   http_control_byte         NUL, a CR without LF or another control byte
//   http_request_line         not "method SP target SP HTTP/x.y"
//   http_version_unsupported  a version that isn't 1.x
//   http_target               not a path, a http(s) URI, "*", or an authority after CONNECT
//   http_target_userinfo      "user@" in the target
//   http_header_line          no name, or one with a character that names don't have, or no colon
//   http_header_space         white space between a header's name and its colon
//   http_header_folded        a line that begins with white space: goes on with the one before
//   http_host_missing         HTTP/1.1 without Host
//   http_host_malformed       Host is not "name", "name:port" or "[IPv6]:port"
//   two_names                 Host came twice, or is not the host of the target
//   name_...                  the name must not be used: name_flaw_word()
#include "proxyd/hello.h"
#include "proxyd/http_authority.h"
#include "proxyd/http_token.h"

#include <algorithm>
#include <utility>

namespace proxyd {
namespace {

using Flaw = std::optional<Malformed>;

constexpr char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// `lowered` has no upper-case letter.
bool equals_ignoring_case(std::string_view text, std::string_view lowered) {
    return std::ranges::equal(text, lowered, {}, lower);
}

constexpr bool is_white_space(char c) {
    return c == ' ' || c == '\t';
}
constexpr bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
constexpr bool is_control(char c) {
    return (static_cast<uint8_t>(c) < 0x20 && c != '\t') || c == 0x7f;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_white_space(text.front()))
        text.remove_prefix(1);
    while (!text.empty() && is_white_space(text.back()))
        text.remove_suffix(1);
    return text;
}

// Takes a request's head line by line.
class HeadReader {
  public:
    Flaw read_request_line(std::string_view line);
    Flaw read_header_line(std::string_view line);
    HelloOutcome finish() const;

  private:
    Flaw read_target(std::string_view method, std::string_view target);
    Flaw read_host(std::string_view value);
    Flaw read_name(std::string_view authority, std::string_view reason_if_malformed);

    std::optional<DnsName> name_;  // from the target or from Host
    bool has_host_ = false;
    bool needs_host_ = false;
};

Flaw HeadReader::read_request_line(std::string_view line) {
    const size_t method_end = line.find(' ');
    const size_t target_end = line.rfind(' ');
    if (method_end == line.npos || target_end == method_end)
        return Malformed{"http_request_line", {}};
    const std::string_view method = line.substr(0, method_end);
    const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
    const std::string_view version = line.substr(target_end + 1);

    const bool has_version = version.size() == 8 && version.starts_with("HTTP/") &&
                             is_digit(version[5]) && version[6] == '.' && is_digit(version[7]);
    if (!is_token(method) || target.empty() || !has_version ||
        std::ranges::any_of(target, is_white_space))
        return Malformed{"http_request_line", {}};
    if (version[5] != '1') return Malformed{"http_version_unsupported", {}};
    needs_host_ = version[7] != '0';
    return read_target(method, target);
}

// RFC 9112 section 3.2.
Flaw HeadReader::read_target(std::string_view method, std::string_view target) {
    if (method == "CONNECT") return read_name(target, "http_target");
    if (target.starts_with('/') || target == "*") return std::nullopt;

    const size_t scheme_bytes = std::min(target.find("://"), target.size());
    const std::string_view scheme = target.substr(0, scheme_bytes);
    if (!equals_ignoring_case(scheme, "http") && !equals_ignoring_case(scheme, "https"))
        return Malformed{"http_target", {}};
    if (scheme_bytes == target.size()) return Malformed{"http_target", {}};
    const std::string_view after_scheme = target.substr(scheme_bytes + 3);
    const std::string_view authority = after_scheme.substr(0, after_scheme.find_first_of("/?"));
    if (authority.find('@') != authority.npos)
        return Malformed{"http_target_userinfo", std::string(authority)};
    return read_name(authority, "http_target");
}

Flaw HeadReader::read_header_line(std::string_view line) {
    if (is_white_space(line.front())) return Malformed{"http_header_folded", {}};
    const size_t colon = line.find(':');
    if (colon == line.npos) return Malformed{"http_header_line", {}};
    const std::string_view name = line.substr(0, colon);
    if (!is_token(name)) {
        const bool is_spaced = is_token(trimmed(name));
        return Malformed{is_spaced ? "http_header_space" : "http_header_line", {}};
    }
    if (!equals_ignoring_case(name, "host")) return std::nullopt;
    return read_host(trimmed(line.substr(colon + 1)));
}

// RFC 9112 section 3.2.2 lets the target win over Host; but servers don't agree on that.
Flaw HeadReader::read_host(std::string_view value) {
    if (std::exchange(has_host_, true)) return Malformed{"two_names", std::string(value)};
    const std::optional<DnsName> name_of_target = std::exchange(name_, std::nullopt);
    if (!value.empty())
        if (Flaw flaw = read_name(value, "http_host_malformed")) return flaw;
    if (name_of_target && name_ != name_of_target)
        return Malformed{"two_names", std::string(value)};
    return std::nullopt;
}

Flaw HeadReader::read_name(std::string_view authority, std::string_view reason_if_malformed) {
    const auto name = name_of_authority(authority, reason_if_malformed);
    if (!name) return name.error();
    name_ = *name;
    return std::nullopt;
}

HelloOutcome HeadReader::finish() const {
    if (needs_host_ && !has_host_) return Malformed{"http_host_missing", {}};
    Hello hello;
    hello.name = name_;
    return hello;
}

// The next line of `rest`, without its end (LF or CR LF); `is_whole` tells whether the end is
// there.
struct Line {
    std::string_view text;
    bool is_whole;
};

Line take_line(std::string_view& rest) {
    const size_t end = rest.find('\n');
    const bool is_whole = end != rest.npos;
    Line line{rest.substr(0, end), is_whole};
    rest.remove_prefix(is_whole ? end + 1 : rest.size());
    // Of a line that is not all there yet, a last CR may still be half of its end.
    if (line.text.ends_with('\r')) line.text.remove_suffix(1);
    return line;
}

}  // namespace

HelloOutcome parse_http_request_head(Bytes bytes) {
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    HeadReader head;
    // RFC 9112 section 2.2: one empty line may stand before the request line.
    bool may_be_empty = true, has_request_line = false;
    while (true) {
        const Line line = take_line(rest);
        if (std::ranges::any_of(line.text, is_control)) return Malformed{"http_control_byte", {}};
        if (!line.is_whole) return NeedMore{bytes.size() + 1};
        if (!has_request_line) {
            if (line.text.empty() && std::exchange(may_be_empty, false)) continue;
            if (Flaw flaw = head.read_request_line(line.text)) return *std::move(flaw);
            has_request_line = true;
        } else if (line.text.empty()) {
            return head.finish();
        } else if (Flaw flaw = head.read_header_line(line.text)) {
            return *std::move(flaw);
        }
    }
}

}  // namespace proxyd
