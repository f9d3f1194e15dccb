// SPDX-License-Identifier: MIT
//
// Fuzz target: read_dns_answer(), for each type.
#include "tcpshim/dns_answer.h"

#include <assert.h>

#include <algorithm>

using namespace proxyd;
using namespace proxyd::shim;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    for (const DnsType type : {DnsType::Ipv4, DnsType::Ipv6, DnsType::Service}) {
        const auto records = read_dns_answer(Bytes(data, size), type);
        if (!records) continue;
        assert(records->addresses.size() + records->services.size() <= DnsRecordsMax);
        assert(records->ttl_seconds <= 0x7fffffff);
        const sa_family_t family = type == DnsType::Ipv6 ? AF_INET6 : AF_INET;
        assert(std::ranges::all_of(records->addresses, [&](const SocketAddress& address) {
            return address.family() == family && address.port() == 0;
        }));
        assert(std::ranges::none_of(records->services, [](const ServiceRecord& service) {
            return service.host.empty() || service.host.find_first_of(" /\\") != std::string::npos;
        }));
        assert(type == DnsType::Service ? records->addresses.empty() : records->services.empty());
    }
    return 0;
}
