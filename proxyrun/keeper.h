// SPDX-License-Identifier: MIT
//
// Keeper: gives the kept sockets to a server that binds. libpreload connects to it (PROXYD_KEEPER),
// says the edge port in decimal, gets "ok" with the sockets, and hangs up when bind is through; if
// that has failed, it says the errno before. By path, because some servers close all descriptors
// when they start. Used by supervisor.
#pragma once

#include "base/daemon/event_loop.h"
#include "proxyrun/kept_sockets.h"

#include <memory>
#include <string>
#include <vector>

namespace proxyd {

class Keeper {
  public:
    class Owner {
      public:
        // A server is about to bind.
        virtual void on_bind_begins() noexcept = 0;
        // Somebody who has asked for sockets has gone, and has bound one or not; `error_number` is
        // what bind has failed with, if it has.
        virtual void on_bind_ended(uint16_t edge_port, int error_number) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    // Listens in the directory of `sockets`, and removes the file at the end. The error is one line
    // for the user.
    static Result<std::unique_ptr<Keeper>, std::string> create(EventLoop& loop,
                                                               KeptSockets& sockets, Owner& owner);
    Keeper(EventLoop& loop, KeptSockets& sockets, Owner& owner, UniqueFd listener,
           std::string file_name);  // for create()
    ~Keeper();
    Keeper(const Keeper&) = delete;
    Keeper& operator=(const Keeper&) = delete;

    // For PROXYD_KEEPER.
    std::string path() const { return sockets_.path_prefix() + file_name_; }
    // Listens anew at its path if somebody has removed the file: servers that are to bind know no
    // other.
    void look_after_name();

  private:
    class Conversation;

    void on_connection() noexcept;
    void on_end(Conversation& conversation) noexcept;

    EventLoop& loop_;
    KeptSockets& sockets_;
    Owner& owner_;
    UniqueFd listener_;
    std::string file_name_;
    std::vector<std::unique_ptr<Conversation>> conversations_;
    ReadWatcher<&Keeper::on_connection> connections_;
};

}  // namespace proxyd
