// SPDX-License-Identifier: MIT
//
// AccessLists: who may use a listener or a route, by the client's address. Used by decision. What a
// rejected client is told is not known here.
#pragma once

#include "base/daemon/configuration/cidr_list.h"
#include "base/posix/socket_address.h"

namespace proxyd {

enum class AccessVerdict {
    Fine,
    Denied,      // the address is in `deny`
    NotAllowed,  // there is an `allow`, and the address is not in it
};

struct AccessLists {
    CidrList allow;  // empty: all addresses
    CidrList deny;   // asked first

    bool empty() const { return allow.empty() && deny.empty(); }
    AccessVerdict check(const SocketAddress& source) const {
        if (deny.contains(source)) return AccessVerdict::Denied;
        if (!allow.empty() && !allow.contains(source)) return AccessVerdict::NotAllowed;
        return AccessVerdict::Fine;
    }
};

}  // namespace proxyd
