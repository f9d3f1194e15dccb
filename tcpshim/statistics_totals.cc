// SPDX-License-Identifier: MIT
#include "tcpshim/statistics_totals.h"

#include <numeric>

namespace proxyd::shim {
namespace {

template <size_t Count>
void add_all(std::array<uint64_t, Count>& sums, const std::array<SharedNumber, Count>& counted) {
    for (size_t i = 0; i < Count; i++)
        sums[i] += counted[i].read();
}

BackendState state_of(uint64_t number) {
    return number <= static_cast<uint64_t>(BackendState::Down) ? static_cast<BackendState>(number)
                                                               : BackendState::Up;
}

}  // namespace

void BackendTotals::add_counters_of(const BackendStatistics& counted) {
    connections += counted.connections.read();
    chosen += counted.chosen.read();
    answered += counted.answered.read();
    checks_good += counted.checks_good.read();
    checks_bad += counted.checks_bad.read();
    add_all(failed, counted.failed);
    bytes_to_backend += counted.bytes_to_backend.read();
    bytes_to_client += counted.bytes_to_client.read();
}

uint64_t BackendTotals::failures() const {
    return std::accumulate(failed.begin(), failed.end(), uint64_t{0});
}

void SiteTotals::add_counters_of(const SiteStatistics& counted) {
    accepted += counted.accepted.read();
    retried += counted.retried.read();
    add_all(endings, counted.endings);
    add_all(unserved, counted.unserved);
    bytes_to_backend += counted.bytes_to_backend.read();
    bytes_to_client += counted.bytes_to_client.read();
    for (size_t i = 0; i < TimingCount; i++)
        timings[i].add(counted.timings[i]);
}

void StatisticsTotals::add(const Configuration& configuration, const WorkerStatistics& worker,
                           Of which) {
    access_lines_lost += worker.access_lines_lost().read();
    for (size_t i = 0; i < worker.site_count(); i++) {
        SiteTotals& site = sites[configuration.sites[i].name];
        site.add_counters_of(worker.site(i));
        const uint64_t active = worker.site(i).active.read();
        if (which == Of::Ended)
            site.endings[static_cast<size_t>(Ending::WorkerDied)] += active;
        else
            site.active += active;
        for (const BackendStatistics& slot : worker.backends_of(i)) {
            const std::string text = slot.text.read();
            if (text.empty()) break;
            BackendTotals& backend = site.backends[text];
            backend.add_counters_of(slot);
            if (which != Of::Ended) backend.active += slot.active.read();
            if (which != Of::Serving || slot.state.read() == BackendStatistics::Gone) continue;
            backend.is_current = true;
            backend.state = state_of(slot.state.read());
            backend.since_ms = slot.since_ms.read();
            backend.cause = slot.cause.read();
        }
    }
}

}  // namespace proxyd::shim
