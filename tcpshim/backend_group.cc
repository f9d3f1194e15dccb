// SPDX-License-Identifier: MIT
#include "tcpshim/backend_group.h"

namespace proxyd::shim {

BackendGroup::BackendGroup(const SiteConfiguration& site) : site_(site) {
    for (const BackendConfiguration& backend : site.backends)
        backends_.push_back(std::make_unique<Backend>(backend));
}

Backend& BackendGroup::next() {
    return *backends_[next_++ % backends_.size()];
}

}  // namespace proxyd::shim
