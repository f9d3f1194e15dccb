// SPDX-License-Identifier: MIT
//
// SiteDirectoryView: what is in a site directory at this moment, for people: each site socket,
// whose it is, who may send to it, and whether anybody has it open. Used by worker_reports. Unlike
// Site it keeps nothing and hands nothing over.
#pragma once

#include "base/handoff/site_socket.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace proxyd {

struct SiteSocketView {
    std::string file_name;
    uint16_t port = 0;
    std::string instance;
    SiteSocketState state = SiteSocketState::Unknown;
    bool is_permitted = true;  // whether this process may send to it
    bool is_stream = false;    // somebody accepts there, as at a server's own listener
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
};

// Of a site directory no more is looked at: its owner may fill it, and everybody waits for the
// look.
inline constexpr size_t SiteEntriesMax = 1000;

struct SiteDirectoryView {
    int error = 0;          // errno of a directory that can't be opened or entered
    bool is_known = false;  // the three that follow, which may be had all the same
    mode_t mode = 0;
    uid_t owner = 0;
    gid_t group = 0;
    std::vector<SiteSocketView> sockets;  // by port and file name

    // At most `sockets_max` of them, among the first SiteEntriesMax files.
    static SiteDirectoryView look(const std::string& path, bool follows_links, size_t sockets_max);

  private:
    void take_over(const struct stat& status);
};

}  // namespace proxyd
