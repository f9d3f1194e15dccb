// SPDX-License-Identifier: MIT
#include "proxyd/site_table.h"

#include <fmt/format.h>

#include <iterator>

namespace proxyd {

SiteTable::SiteTable(EventLoop& loop, DirectoryWatch& watch, size_t sites_max,
                     std::function<void(Site&)> room)
    : loop_(loop), watch_(watch), sites_max_(sites_max), room_(std::move(room)) {}

Site& SiteTable::site_for(const Route& route, uint16_t port) {
    key_.clear();
    fmt::format_to(std::back_inserter(key_), "{}:{}", port, route.site_directory);
    if (const auto found = sites_.find(key_); found != sites_.end()) return *found->second;
    if (sites_.size() >= sites_max_) drop_idle_sites();
    const auto made = sites_.emplace(
        key_, std::make_unique<Site>(loop_, watch_, std::string(route.site_directory),
                                     route.follows_links, port, room_));
    return *made.first->second;
}

Site* SiteTable::most_waited_for() {
    Site* most = nullptr;
    for (const auto& [key, site] : sites_)
        if (site->waiting_count() > (most != nullptr ? most->waiting_count() : 0))
            most = site.get();
    return most;
}

void SiteTable::drop_idle_sites() {
    std::erase_if(sites_, [](const auto& entry) { return entry.second->waiting_count() == 0; });
}

}  // namespace proxyd
