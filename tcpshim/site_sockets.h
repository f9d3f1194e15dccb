// SPDX-License-Identifier: MIT
//
// OpenSiteSockets: the site sockets of one configuration, which main holds open: what is queued in
// them outlives a worker, and goes on to the next configuration. Used by supervisor.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "base/relay/configuration.h"
#include "tcpshim/receiver.h"

#include <sys/types.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace proxyd::shim {

// A site socket that a keeper holds (systemd: ListenDatagram=) and has passed to this process. It
// is used instead of a new one, and its file is the keeper's.
struct PassedSocket {
    UniqueFd fd;
    std::string path;
};

// As LISTEN_FDS says (sd_listen_fds(3)), once. The error is a whole message.
Result<std::vector<PassedSocket>, std::string> adopt_passed_sockets();

class OpenSiteSockets {
  public:
    // Those of `configuration`; one that `current`, which may be null, has as well is shared with
    // it, and one that was `passed` is used, of which none may be left over. None stands at its
    // place yet. What is wrong goes to `problems`, each a whole line.
    static OpenSiteSockets open(const Configuration& configuration, const OpenSiteSockets* current,
                                std::span<const PassedSocket> passed,
                                std::vector<std::string>& problems);

    // Puts those that are new in their places, each in one step.
    void put_in_place(std::vector<std::string>& problems);
    // Takes away the files that are ours still, except those of sockets that `kept`, which may be
    // null, has too. Whether there was any.
    bool remove_files(const OpenSiteSockets* kept);

    // For a worker: the same sockets under numbers of its own, in a row as far as they are free.
    std::vector<SiteSocket> duplicate() const;
    size_t size() const { return sockets_.size(); }

  private:
    struct Socket;
    struct Place {
        std::shared_ptr<Socket> socket;
        size_t site = 0;
    };

    static std::shared_ptr<Socket> open_one(const SiteConfiguration& site, uint16_t port,
                                            const std::string& instance,
                                            std::span<const PassedSocket> passed,
                                            std::vector<std::string>& problems);

    std::vector<Place> sockets_;
};

}  // namespace proxyd::shim
