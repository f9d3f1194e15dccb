// SPDX-License-Identifier: MIT
#include "tcpshim/elsewhere.h"

namespace proxyd::shim {

SharedSum Elsewhere::connections() const {
    SharedSum sum;
    for (const Worker& worker : workers_)
        for (size_t site = 0; site < worker.statistics->site_count(); site++)
            sum.add(worker.statistics->site(site).active);
    return sum;
}

SharedSum Elsewhere::connections_of_site(std::string_view directory) const {
    SharedSum sum;
    for (const Worker& worker : workers_)
        for (size_t site = 0; site < worker.statistics->site_count(); site++)
            if (worker.configuration->sites[site].directory == directory)
                sum.add(worker.statistics->site(site).active);
    return sum;
}

SharedSum Elsewhere::connections_of_backend(std::string_view directory,
                                            std::string_view text) const {
    SharedSum sum;
    for (const Worker& worker : workers_)
        for (size_t site = 0; site < worker.statistics->site_count(); site++) {
            if (worker.configuration->sites[site].directory != directory) continue;
            for (const BackendStatistics& slot : worker.statistics->backends_of(site))
                if (slot.text.read() == text) sum.add(slot.active);
        }
    return sum;
}

}  // namespace proxyd::shim
