// SPDX-License-Identifier: MIT
//
// The PROXY protocol header by which a backend learns who the client is, version 1 (a line of text)
// or 2 (binary, with the name, the first ALPN and the session's id). Used by Connection.
// Source: "The PROXY protocol", versions 1 & 2, sections 2.1 and 2.2.
#pragma once

#include "base/handoff/wire_header.h"
#include "base/relay/configuration.h"
#include "tcpshim/connector.h"

#include <array>
#include <cstdint>

namespace proxyd::shim {

using ClientHeaderBytes = std::array<uint8_t, WireHeaderBytesMax>;

// Writes it; returns its size, 0 for None.
size_t write_client_header(ProxyProtocolVersion version, const ClientDescription& client,
                           ClientHeaderBytes& out);

}  // namespace proxyd::shim
