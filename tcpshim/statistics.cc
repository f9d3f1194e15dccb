// SPDX-License-Identifier: MIT
#include "tcpshim/statistics.h"

#include <sys/mman.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

size_t slots_of(const SiteConfiguration& site) {
    const bool has_services = std::ranges::any_of(
        site.backends, [](const auto& each) { return each.kind == BackendKind::Service; });
    return site.backends.size() + (has_services ? WorkerStatistics::SlotsForServices : 0);
}

}  // namespace

// Memory of zeros: so all numbers are 0 and all texts empty, and only what is used is taken.
Result<std::unique_ptr<WorkerStatistics>> WorkerStatistics::create(
    const Configuration& configuration) {
    size_t backend_count = 0;
    for (const SiteConfiguration& site : configuration.sites)
        backend_count += slots_of(site);
    const size_t site_count = configuration.sites.size();
    std::unique_ptr<WorkerStatistics> made(new WorkerStatistics);
    made->bytes_ = sizeof(SharedNumber) + site_count * sizeof(SiteStatistics) +
                   backend_count * sizeof(BackendStatistics);
    void* const memory =
        mmap(nullptr, made->bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return Unexpected{Errno::last()};
    made->memory_ = memory;
    auto* const lost = static_cast<SharedNumber*>(memory);
    made->access_lines_lost_ = lost;
    auto* const sites = static_cast<SiteStatistics*>(static_cast<void*>(lost + 1));
    made->sites_ = {sites, site_count};
    auto* slot = static_cast<BackendStatistics*>(static_cast<void*>(sites + site_count));
    for (const SiteConfiguration& site : configuration.sites) {
        made->slots_.emplace_back(slot, slots_of(site));
        slot += slots_of(site);
    }
    return made;
}

void WorkerStatistics::clear_active() const {
    for (SiteStatistics& site : sites_)
        site.active.clear();
    for (const auto& slots : slots_)
        for (BackendStatistics& slot : slots)
            slot.active.clear();
}

WorkerStatistics::~WorkerStatistics() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
}

}  // namespace proxyd::shim
