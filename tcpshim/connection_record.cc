// SPDX-License-Identifier: MIT
#include "tcpshim/connection_record.h"

namespace proxyd::shim {

std::string_view ending_word(Ending ending) {
    switch (ending) {
        case Ending::ClientClosed:
            return "client_closed";
        case Ending::BackendClosed:
            return "backend_closed";
        case Ending::ClientReset:
            return "client_reset";
        case Ending::BackendReset:
            return "backend_reset";
        case Ending::ClientLost:
            return "client_lost";
        case Ending::BackendLost:
            return "backend_lost";
        case Ending::IdleTimeout:
            return "idle_timeout";
        case Ending::HalfClosedTimeout:
            return "half_closed_timeout";
        case Ending::NoBackend:
            return "no_backend";
        case Ending::DrainTimeout:
            return "drain_timeout";
        case Ending::Local:
            return "local";
        case Ending::WorkerDied:
            return "worker_died";
    }
    return "";
}

}  // namespace proxyd::shim
