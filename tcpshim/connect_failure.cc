// SPDX-License-Identifier: MIT
#include "tcpshim/connect_failure.h"

namespace proxyd::shim {

std::string_view connect_failure_word(ConnectFailure failure) {
    switch (failure) {
        case ConnectFailure::Refused:
            return "refused";
        case ConnectFailure::Unreachable:
            return "unreachable";
        case ConnectFailure::TimedOut:
            return "timed_out";
        case ConnectFailure::NotResolved:
            return "not_resolved";
        case ConnectFailure::ClosedEarly:
            return "closed_early";
        case ConnectFailure::Full:
            return "full";
        case ConnectFailure::NoneUp:
            return "none_up";
        case ConnectFailure::Local:
            return "local";
        case ConnectFailure::Loop:
            return "loop";
    }
    return "-";
}

ConnectFailure connect_failure_of(Errno error) {
    switch (error.number) {
        case ECONNREFUSED:
        case ECONNRESET:
        case EPIPE:
            return ConnectFailure::Refused;
        case ETIMEDOUT:
            return ConnectFailure::TimedOut;
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ENOBUFS:
        case ENOSPC:
        case EADDRNOTAVAIL:
        case EADDRINUSE:
        case EAFNOSUPPORT:
            return ConnectFailure::Local;
        default:  // ENETUNREACH, EHOSTUNREACH, ENETDOWN, ENOENT, EACCES, EPERM...
            return ConnectFailure::Unreachable;
    }
}

ConnectFailure more_telling(ConnectFailure a, ConnectFailure b) {
    constexpr ConnectFailure order[] = {ConnectFailure::Refused, ConnectFailure::TimedOut,
                                        ConnectFailure::Unreachable, ConnectFailure::Local};
    for (const ConnectFailure failure : order)
        if (a == failure || b == failure) return failure;
    return a;
}

}  // namespace proxyd::shim
