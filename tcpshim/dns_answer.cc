// SPDX-License-Identifier: MIT
#include "tcpshim/dns_answer.h"

#include <ares.h>
#include <string.h>

#include <algorithm>
#include <limits>
#include <memory>

namespace proxyd::shim {
namespace {

constexpr size_t HeaderBytes = 12;
constexpr uint32_t ClassInternet = 1;

// Over a name that may end in a pointer to another one (RFC 1035 section 4.1.4).
bool skip_name(ByteReader& reader) {
    for (;;) {
        const std::optional<uint32_t> length = reader.u8();
        if (!length) return false;
        if (*length == 0) return true;
        if (*length >= 0xc0) return reader.u8().has_value();
        if (*length > 63 || !reader.take(*length)) return false;
    }
}

std::optional<std::string> expand_name(Bytes message, Bytes at) {
    char* text = nullptr;
    long used = 0;
    if (ares_expand_name(at.data(), message.data(), static_cast<int>(message.size()), &text,
                         &used) != ARES_SUCCESS)
        return std::nullopt;
    const std::unique_ptr<char, void (*)(char*)> owned(
        text, [](char* string) { ares_free_string(string); });
    std::string name(text);
    for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return name;
}

bool is_host_name(const std::string& name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    });
}

// One record's content; false if it is malformed.
bool read_content(Bytes message, Bytes content, DnsType type, DnsRecords& records) {
    switch (type) {
        case DnsType::Ipv4: {
            in_addr address;
            if (content.size() != sizeof(address)) return false;
            memcpy(&address, content.data(), sizeof(address));
            records.addresses.push_back(SocketAddress::from_ipv4(address, 0));
            return true;
        }
        case DnsType::Ipv6: {
            in6_addr address;
            if (content.size() != sizeof(address)) return false;
            memcpy(&address, content.data(), sizeof(address));
            records.addresses.push_back(SocketAddress::from_ipv6(address, 0));
            return true;
        }
        case DnsType::Service: {
            ByteReader reader(content);
            const auto priority = reader.u16(), weight = reader.u16(), port = reader.u16();
            if (!port || reader.at_end()) return false;
            std::optional<std::string> host = expand_name(message, reader.rest());
            if (!host) return false;
            if (is_host_name(*host))
                records.services.push_back({.priority = static_cast<uint16_t>(*priority),
                                            .weight = static_cast<uint16_t>(*weight),
                                            .port = static_cast<uint16_t>(*port),
                                            .host = std::move(*host)});
            return true;
        }
    }
    return false;
}

}  // namespace

std::optional<DnsRecords> read_dns_answer(Bytes message, DnsType type) {
    ByteReader reader(message);
    const std::optional<Bytes> header = reader.take(HeaderBytes);
    if (!header) return std::nullopt;
    ByteReader counts(header->subspan(4));
    const uint32_t questions = *counts.u16(), answers = *counts.u16();
    for (uint32_t i = 0; i < questions; i++)
        if (!skip_name(reader) || !reader.take(4)) return std::nullopt;

    DnsRecords records;
    uint32_t ttl_least = std::numeric_limits<uint32_t>::max();
    for (uint32_t i = 0; i < answers; i++) {
        if (!skip_name(reader)) return std::nullopt;
        const auto record_type = reader.u16(), record_class = reader.u16();
        const auto ttl_high = reader.u16(), ttl_low = reader.u16();
        const std::optional<Bytes> content = reader.block_u16();
        if (!record_type || !record_class || !ttl_high || !ttl_low || !content) return std::nullopt;
        const uint32_t ttl = *ttl_high << 16 | *ttl_low;
        // RFC 2181 section 8: with the highest bit set it means zero.
        ttl_least = std::min(ttl_least, ttl > 0x7fffffff ? 0 : ttl);
        if (*record_type != static_cast<uint32_t>(type) || *record_class != ClassInternet) continue;
        if (records.addresses.size() + records.services.size() == DnsRecordsMax) continue;
        if (!read_content(message, *content, type, records)) return std::nullopt;
    }
    records.ttl_seconds = answers == 0 ? 0 : ttl_least;
    return records;
}

}  // namespace proxyd::shim
