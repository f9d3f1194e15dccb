// SPDX-License-Identifier: MIT
//
// The part of a DNS answer (RFC 1035, RFC 2782, RFC 3596) that leads to a backend: addresses or
// services, and how long they hold. Used by dns_channel; doesn't ask, and believes that the answer
// is one to the question: c-ares has compared them.
#pragma once

#include "base/posix/byte_reader.h"
#include "base/posix/socket_address.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace proxyd::shim {

enum class DnsType : uint16_t { Ipv4 = 1, Ipv6 = 28, Service = 33 };

struct ServiceRecord {
    uint16_t priority = 0;
    uint16_t weight = 0;
    uint16_t port = 0;
    std::string host;  // lower case, without a dot at its end

    friend bool operator==(const ServiceRecord&, const ServiceRecord&) = default;
};

struct DnsRecords {
    std::vector<SocketAddress> addresses;  // port 0, in the order of the answer
    std::vector<ServiceRecord> services;   // likewise
    uint32_t ttl_seconds = 0;              // the least of all records, aliases as well

    bool empty() const { return addresses.empty() && services.empty(); }
};

// More records than this are left out.
inline constexpr size_t DnsRecordsMax = 64;

// Nothing if the message is malformed. Records of other types, a service that is said not to be
// there (RFC 2782: the target "."), and targets that no host can have as name, are left out.
std::optional<DnsRecords> read_dns_answer(Bytes message, DnsType type);

}  // namespace proxyd::shim
