// SPDX-License-Identifier: MIT
#include "proxyd/http2_header_list.h"

#include "proxyd/http_authority.h"
#include "proxyd/http_token.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace proxyd {
namespace {

using Flaw = std::optional<Malformed>;

constexpr size_t FieldOverheadBytes = 32;

struct InflaterDeleter {
    void operator()(nghttp2_hd_inflater* inflater) const { nghttp2_hd_inflate_del(inflater); }
};
using Inflater = std::unique_ptr<nghttp2_hd_inflater, InflaterDeleter>;

std::string_view as_text(const uint8_t* bytes, size_t size) {
    return {reinterpret_cast<const char*>(bytes), size};
}

// RFC 9113 section 8.2.1, and no character in a name that HTTP has never allowed there.
bool is_field_name(std::string_view name) {
    return is_token(name) &&
           std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; });
}

// White space at the ends is let pass: curl sends what its user typed, and no name has any.
bool is_field_value(std::string_view value) {
    return value.find_first_of(std::string_view("\0\r\n", 3)) == value.npos;
}

// Takes a request's fields one by one.
class HeaderList {
  public:
    Flaw read_field(std::string_view name, std::string_view value);
    HelloOutcome finish() const;

  private:
    Flaw read_pseudo_header(std::string_view name, std::string_view value);
    Flaw read_host(std::string_view value);

    size_t bytes_ = 0;
    bool has_ordinary_field_ = false;
    bool has_method_ = false, has_scheme_ = false, has_path_ = false, is_connect_ = false;
    bool has_authority_ = false, has_host_ = false;
    std::optional<DnsName> name_;  // of the authority or of Host
};

Flaw HeaderList::read_field(std::string_view name, std::string_view value) {
    bytes_ += name.size() + value.size() + FieldOverheadBytes;
    if (bytes_ > HeaderListBytesMax) return Malformed{"h2_header_list_too_long", {}};
    if (!is_field_value(value)) return Malformed{"h2_header_field", {}};
    if (name.starts_with(':')) return read_pseudo_header(name, value);
    has_ordinary_field_ = true;
    if (!is_field_name(name)) return Malformed{"h2_header_field", {}};
    return name == "host" ? read_host(value) : std::nullopt;
}

// RFC 9113 section 8.3.1. ":protocol" (RFC 8441) needs a server's permission, which nobody has
// given.
Flaw HeaderList::read_pseudo_header(std::string_view name, std::string_view value) {
    const auto is_first = [&](bool& has) { return !std::exchange(has, true); };
    bool is_right = !has_ordinary_field_;
    if (name == ":authority")
        is_right = is_right && is_first(has_authority_);
    else if (name == ":method")
        is_right = is_right && is_first(has_method_) && is_token(value);
    else if (name == ":scheme")
        is_right = is_right && is_first(has_scheme_);
    else if (name == ":path")
        is_right = is_right && is_first(has_path_) && !value.empty();
    else
        is_right = false;
    if (!is_right) return Malformed{"h2_pseudo_header", {}};

    if (name == ":method") is_connect_ = value == "CONNECT";
    if (name != ":authority" || value.empty()) return std::nullopt;
    const auto authority = name_of_authority(value, "h2_authority");
    if (!authority) return authority.error();
    name_ = *authority;
    return std::nullopt;
}

// As in HTTP/1: both must give the same name, or both none.
Flaw HeaderList::read_host(std::string_view value) {
    if (std::exchange(has_host_, true)) return Malformed{"two_names", std::string(value)};
    const std::optional<DnsName> name_of_pseudo_header = std::exchange(name_, std::nullopt);
    if (!value.empty()) {
        const auto host = name_of_authority(value, "http_host_malformed");
        if (!host) return host.error();
        name_ = *host;
    }
    if (has_authority_ && name_ != name_of_pseudo_header)
        return Malformed{"two_names", std::string(value)};
    return std::nullopt;
}

HelloOutcome HeaderList::finish() const {
    const bool has_target = has_scheme_ && has_path_;
    const bool has_any_of_target = has_scheme_ || has_path_;
    if (!has_method_ || (is_connect_ ? has_any_of_target || !has_authority_ : !has_target))
        return Malformed{"h2_pseudo_header", {}};
    if (!has_authority_ && !has_host_) return Malformed{"http_host_missing", {}};
    Hello hello;
    hello.name = name_;
    return hello;
}

}  // namespace

HelloOutcome read_http2_header_list(Bytes block) {
    nghttp2_hd_inflater* created = nullptr;
    if (nghttp2_hd_inflate_new(&created) != 0) return Malformed{"out_of_memory", {}};
    const Inflater inflater(created);

    HeaderList list;
    while (true) {
        nghttp2_nv field;
        int flags = 0;
        const auto used =
            nghttp2_hd_inflate_hd2(inflater.get(), &field, &flags, block.data(), block.size(), 1);
        if (used < 0) return Malformed{"h2_hpack", {}};
        block = block.subspan(static_cast<size_t>(used));
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
            if (Flaw flaw = list.read_field(as_text(field.name, field.namelen),
                                            as_text(field.value, field.valuelen)))
                return *std::move(flaw);
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) return list.finish();
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && used == 0) return Malformed{"h2_hpack", {}};
    }
}

}  // namespace proxyd
