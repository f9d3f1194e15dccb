// SPDX-License-Identifier: MIT
//
// SiteTable: the sites that are in use, each made when it is needed first. Used by session. Their
// number is bounded: when there are too many, those that nobody waits for are dropped again.
#pragma once

#include "proxyd/route_table.h"
#include "proxyd/site.h"

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

namespace proxyd {

class SiteTable {
  public:
    // `sites_max`: how many to keep, each with a descriptor per site socket.
    SiteTable(EventLoop& loop, DirectoryWatch& watch, size_t sites_max,
              std::function<void(Site&)> room);

    // The reference holds until the next call, or as long as a session waits there.
    Site& site_for(const Route& route, uint16_t port);

    // The site at which most sessions wait; null if nobody waits anywhere.
    Site* most_waited_for();

    template <typename Each>
    void for_each(Each each) const {
        for (const auto& [key, site] : sites_)
            each(*site);
    }

  private:
    void drop_idle_sites();

    EventLoop& loop_;
    DirectoryWatch& watch_;
    const size_t sites_max_;
    const std::function<void(Site&)> room_;
    std::unordered_map<std::string, std::unique_ptr<Site>> sites_;  // by "<port>:<directory>"
    std::string key_;
};

}  // namespace proxyd
