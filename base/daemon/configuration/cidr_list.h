// SPDX-License-Identifier: MIT
//
// CidrList: a set of addresses, as prefixes of IPv4 and IPv6 ("192.0.2.0/24", "2001:db8::/32") and
// single addresses. Built once from the configuration; a lookup costs one hash lookup per length of
// prefix that occurs in it, however many prefixes there are, and allocates nothing. Used by
// listeners and routes. Doesn't say what it means to be in it.
#pragma once

#include "base/posix/result.h"
#include "base/posix/socket_address.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace proxyd {

class CidrList {
  public:
    // The error tells what is wrong with `text` and what is allowed: "'192.0.2.1/24' has bits set
    // behind the prefix, did you mean '192.0.2.0/24'?". What is there twice counts once.
    Result<void, std::string> add(std::string_view text);
    // All of them, or the first error.
    static Result<CidrList, std::string> parse(const std::vector<std::string>& texts);

    bool empty() const { return texts_.empty(); }
    // An IPv4-mapped IPv6 address is looked up as the IPv4 address that it stands for, so that it
    // matters nowhere which way an address came. False for no address.
    bool contains(const SocketAddress& address) const;
    // The longest prefix that contains it, as it was written; "" if none does.
    std::string_view find(const SocketAddress& address) const;

    // As written, in order.
    const std::vector<std::string>& texts() const { return texts_; }

  private:
    struct Key {
        uint64_t high = 0;
        uint64_t low = 0;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Entry {
        Key key;
        uint32_t text;  // in texts_; no part of its identity
        friend bool operator==(const Entry& a, const Entry& b) { return a.key == b.key; }
    };
    struct Hash {
        size_t operator()(const Entry& entry) const;
    };
    // All prefixes of one length.
    struct Length {
        unsigned bits = 0;
        std::unordered_set<Entry, Hash> entries;
    };

    static Key key_of(const SocketAddress& address);
    static Key cut(Key key, unsigned bits);

    // The longest first. IPv4 addresses are kept as IPv4-mapped IPv6 ones, 96 bits longer, but for
    // themselves: "::/0" is all of IPv6, not of IPv4.
    std::vector<Length> ipv4_;
    std::vector<Length> ipv6_;
    std::vector<std::string> texts_;
};

}  // namespace proxyd
