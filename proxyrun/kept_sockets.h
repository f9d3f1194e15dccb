// SPDX-License-Identifier: MIT
//
// KeptSockets: the site sockets that proxyrun --keep holds open, so that clients who are queued in
// them outlive the server. It makes them under hidden names; libpreload gives one its name, and
// notes in it what the server has bound, when the server binds (base/handoff/listener_state.h).
// Each has a second hidden name, so that it can have its name again if somebody removes that.
// Used by keeper and supervisor. It starts and watches nobody.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace proxyd {

class LeftClients;

class KeptSockets {
  public:
    static Result<KeptSockets> in(const std::string& site_directory);

    // One that a service manager holds as well: its file and what is queued in it stay at the end.
    void adopt(UniqueFd socket, uint16_t edge_port);
    // All of that port, those first that are bound by nobody yet; at least one is: a fresh one if
    // need be.
    Result<std::vector<BorrowedFd>> of_port(uint16_t edge_port);

    // The server is started, perhaps again: from now on what it binds counts. Takes those out of
    // service that no server can bind.
    void begin_run();
    // Whether this run of the server has bound any of them.
    bool has_bound() const;
    // Takes those out of service that an earlier run has bound and this one has not, and that are
    // not `in_use`: a process of another PID namespace may have the number of an earlier one.
    // Returns how many.
    size_t give_up_unbound(const std::set<ino_t>& in_use);
    // Paths of those that a service manager holds, and this run has not bound.
    std::vector<std::string> deaf_of_service_manager(const std::set<ino_t>& in_use) const;

    // Files that processes have left whose sockets nobody has open any more. To be called with the
    // directory's lock.
    void clear_leftovers() const;
    // Gives those their names again that have lost them, unless another live server has the place.
    // Returns what is new to the user, in whole lines.
    std::vector<std::string> look_after_names();
    bool has_nameless() const;
    // Takes those without a name out of service that are not `in_use`: a server gets a fresh one.
    void give_up_nameless(const std::set<ino_t>& in_use);
    // The site socket of another live server whose port is one of these; "" if there is none.
    std::string foreign_file(uint16_t edge_port, const std::set<uint16_t>& server_ports) const;

    // What fstat(2) says of each.
    std::set<ino_t> inodes() const;

    // Takes the files away, so that no more clients come. A service manager's stay.
    void withdraw();
    // Lets nothing more in either, from those who have opened the files before.
    void close_down();
    // Gives `clients` those who are queued in what is out of service, if the site has other
    // receivers and as many as there is room for.
    void hand_on(LeftClients& clients);
    // Whether anybody is queued in what is out of service.
    bool has_left_clients() const;
    // The end. Returns how many clients were queued still.
    size_t give_up();

    // Whether another directory, or none, has the path now: servers would find that.
    bool has_lost_directory() const;

    BorrowedFd directory() const { return directory_; }
    const std::string& path_prefix() const { return path_prefix_; }

  private:
    enum class Name { InPlace, Gone, TakenOver };

    struct Kept {
        UniqueFd socket;
        uint16_t edge_port = 0;
        struct stat file {};  // of the file's inode, whatever its name
        uint64_t claimant_before = 0;
        bool is_of_service_manager = false;
        std::string spare_name;  // the second hidden one; "": there is none
        Name name = Name::InPlace;
    };

    explicit KeptSockets(UniqueFd directory, std::string path_prefix)
        : directory_(std::move(directory)), path_prefix_(std::move(path_prefix)) {}
    Result<void> make(uint16_t edge_port);
    void remove_file(const Kept& kept) const;
    // What the name of a bound one is, or has been; "" for one that nobody has bound.
    static std::string visible_name(const Kept& kept);
    bool has_name(const Kept& kept, const std::string& name) const;
    // Whether it has the one that it was made under.
    bool has_first_name(const Kept& kept) const;
    bool is_taken_over(const Kept& kept) const;
    bool name_again(const Kept& kept, const std::string& name) const;
    void keep_spare(const Kept& kept, const std::string& name) const;
    bool is_ours(const char* file_name) const;
    // Moves those from `first` on to those that are leaving.
    void let_go(std::vector<Kept>::iterator first);

    UniqueFd directory_;
    std::string path_prefix_;  // the directory's path with a slash at its end
    std::vector<Kept> kept_;
    std::vector<Kept> leaving_;  // out of service, with clients in their queues
    bool is_withdrawn_ = false;
};

}  // namespace proxyd
