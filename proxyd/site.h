// SPDX-License-Identifier: MIT
//
// Site: one site directory at one port: the senders to its live sockets, and the sessions that wait
// for one. Used by session (which hands over through it) and made by site_table.
//
// A server gets only clients that it could have met: an IPv6 client is not offered to a server
// under libpreload that listens on IPv4 alone. Its listener's family is what the server takes every
// connection to have (measured: nginx drops the others, CPython shows bytes that nobody wrote).
//
// The directory is read when something in it has changed, which inotify tells; a handoff to a known
// socket costs one system call. What inotify can't see (a link that was turned to another
// directory, a parent that was moved) is found by a look at the path at most once in a while.
#pragma once

#include "base/daemon/directory_watch.h"
#include "base/daemon/event_loop.h"
#include "base/daemon/intrusive_list.h"
#include "base/posix/byte_reader.h"
#include "base/posix/unique_fd.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

class Session;

// Why no socket of a site took a connection, the most hopeful reason first.
enum class HandoffOutcome {
    Taken,
    Full,          // a receiver is alive, but its queue is full
    InFlight,      // the kernel lets no more connections be on their way to receivers
    WrongFamily,   // receivers are alive, but none listens to the client's address family
    NotPermitted,  // a socket's mode keeps us out
    Refused,       // sockets are there, but nobody has them open
    Absent,        // no directory, or no socket for the port in it
};

class Site {
  public:
    // `room`: called when it may be worth to try again for those who wait.
    Site(EventLoop& loop, DirectoryWatch& watch, std::string directory, bool follows_links,
         uint16_t port, std::function<void(Site&)> room);
    ~Site();
    Site(const Site&) = delete;
    Site& operator=(const Site&) = delete;

    // Offers the connection to the live sockets in turn. Borrows it: after Taken the caller closes
    // its copy. WrongFamily is final: it is not the answer while the server may still be starting.
    HandoffOutcome hand_over(BorrowedFd connection, Bytes payload, sa_family_t client_family);
    // The file name of the socket that took the last connection, e.g. "443.sock".
    std::string_view last_taker() const { return last_taker_; }
    const std::string& directory() const { return directory_; }
    uint16_t port() const { return port_; }
    // Of each live socket that is known: `each(file name, connected sender)`.
    void for_each_sender(const std::function<void(std::string_view, BorrowedFd)>& each) const;

    // Sessions that wait, in the order of their coming; those of IPv4 and of IPv6 each for
    // themselves, since the server may have a socket for each. They are woken through `room`.
    void add_waiting(Session& session);
    void remove_waiting(Session& session);
    Session* first_waiting(sa_family_t client_family);  // null if nobody waits
    Session* first_of_most_waiting();                   // of the family of which more wait
    size_t waiting_count(sa_family_t client_family) const;
    size_t waiting_count() const { return waiting_ipv4_.size() + waiting_ipv6_.size(); }

  private:
    class Sender;

    void read_directory_if_needed();
    void read_directory();
    void read_directory_now();
    Clock::duration until_next_look() const;  // for those who wait
    HandoffOutcome offer(BorrowedFd connection, Bytes payload, sa_family_t family);
    bool directory_was_replaced() const;
    UniqueFd open_directory() const;
    void connect_to(BorrowedFd directory, const char* file_name, std::string_view instance,
                    std::vector<std::unique_ptr<Sender>>& senders);
    void tell_of_too_many_sockets();
    void tell_of_handoffs_in_flight();
    void tell_of_too_many_files();
    void tell_of_no_entry();
    void tell_of_missing_descriptors();
    void on_directory_change();
    void on_retry() noexcept;

    EventLoop& loop_;
    const std::string directory_;
    const bool follows_links_;
    const uint16_t port_;
    const std::function<void(Site&)> room_;

    std::vector<std::unique_ptr<Sender>> senders_;
    size_t next_sender_ = 0;
    std::string last_taker_;
    HandoffOutcome without_senders_ = HandoffOutcome::Absent;  // why there are none
    bool ipv4_may_come_back_ = false;  // there are sockets for that family, if not alive ones
    bool ipv6_may_come_back_ = false;
    bool needs_reading_ = true;
    bool has_told_of_world_writable_ = false;
    bool has_told_of_no_entry_ = false;
    bool has_told_of_too_many_ = false;
    bool has_told_of_too_many_files_ = false;
    Clock::time_point tells_of_descriptors_from_{};
    Clock::time_point tells_of_flight_from_{};
    dev_t device_ = 0;
    ino_t inode_ = 0;
    Clock::time_point looked_at_path_{};
    Clock::duration looks_debt_{};  // processor time of looks, less what has been paid back
    Clock::time_point owes_since_{};
    Clock::time_point looks_from_{};  // not earlier again
    Clock::time_point settled_at_{};  // until then a starting server may still be making sockets

    IntrusiveList<Session> waiting_ipv4_;
    IntrusiveList<Session> waiting_ipv6_;
    DirectoryWatch::Subscription subscription_;
    TimerWatcher<&Site::on_retry> retry_;  // while somebody waits
};

}  // namespace proxyd
