// SPDX-License-Identifier: MIT
//
// RelayPlan: what tcpshim has to do for the routes and listeners that lead to TCP servers: a site
// directory for each of them, and the text of its configuration file. A plain value; used by
// generation, which prepares the directories, and by relay_process.
#pragma once

#include "base/posix/result.h"
#include "proxyd/configuration.h"

#include <sys/types.h>

#include <string>
#include <vector>

namespace proxyd {

struct RelayPlan {
    std::string directory;                      // absolute; "" if nothing is to be relayed
    std::vector<std::string> site_directories;  // in it
    std::string text;                           // of the configuration file

    bool is_empty() const { return directory.empty(); }
    // Where main writes the text: no site's directory begins with a dot.
    std::string file() const { return directory + "/.tcpshim.json"; }
    // Where tcpshim tells how it goes.
    std::string news_socket() const { return directory + "/.tcpshim.notify"; }

    friend bool operator==(const RelayPlan&, const RelayPlan&) = default;
};

RelayPlan relay_plan_of(const Configuration& configuration);

// Makes the directories, for the group of the workers, and removes those of routes that are no
// more, as far as nothing is in them. The error names the directory.
Result<void, std::string> make_relay_directories(const RelayPlan& plan, gid_t workers_group);

}  // namespace proxyd
