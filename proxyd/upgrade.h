// SPDX-License-Identifier: MIT
//
// Upgrade: how a running proxyd becomes another program without letting go of anything. Main first
// starts the new program in a trial, a child process that does all that a start does up to the
// point where it would take over; only if that succeeds, main executes the new program in its own
// place, and keeps its process id. Listening sockets and workers are inherited, described by a file
// in memory whose descriptor is named in the environment. Used by supervisor and main.
#pragma once

#include "base/posix/result.h"
#include "base/posix/unique_fd.h"
#include "proxyd/listening_sockets.h"

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace proxyd {

// The program file and its arguments.
struct Program {
    std::string path;
    std::vector<std::string> arguments;  // the first one is the name

    // The one that runs now, by the path that it was executed by (getauxval(3), AT_EXECFN), which
    // may be a link.
    static Program current(int argc, char** argv);
};

// What main has counted, and since when; it goes on over an upgrade.
struct TaskCounts {
    int64_t started_at_us = 0;  // when the process was started, since 1970; 0: not known
    uint64_t reloads = 0;
    uint64_t reload_failures = 0;
    uint64_t upgrades = 0;
    uint64_t upgrade_failures = 0;
    uint64_t worker_restarts = 0;
};

struct InheritedWorker {
    pid_t pid = 0;
    size_t index = 0;
    std::optional<size_t> statistics_slot;
    UniqueFd channel;
    bool is_draining = false;
};

struct InheritedState {
    bool is_trial = false;
    std::string configuration_text;  // to put in force
    std::string text_in_force;       // for the new program, too, if that fails
    ListeningAddresses addresses;
    std::vector<InheritedWorker> workers;
    std::string metrics_address;  // as configured
    UniqueFd metrics_socket;      // open if there is one
    std::string control_path;
    UniqueFd control_socket;                // open if there is one
    std::vector<UniqueFd> control_streams;  // clients that take events
    std::vector<UniqueFd> control_clients;  // those that wait to hear of the upgrade
    std::vector<UniqueFd> control_idle;     // those that have not asked yet
    UniqueFd statistics;
    TaskCounts counts;
    pid_t relay = 0;  // tcpshim, a child of main; 0: there is none
    std::string relay_directory;
    std::vector<pid_t> leaving_relays;
    uint64_t generation = 0;
    uint32_t run_number = 0;
};

// What is passed on; borrows everything.
struct StateToPass {
    const std::string& configuration_text;
    const std::string& text_in_force;
    const ListeningAddresses& addresses;
    struct Worker {
        pid_t pid;
        size_t index;
        std::optional<size_t> statistics_slot;
        BorrowedFd channel;
        bool is_draining = false;
    };
    std::vector<Worker> workers;
    std::string metrics_address;
    std::optional<BorrowedFd> metrics_socket;
    std::string control_path;
    std::optional<BorrowedFd> control_socket;
    std::vector<BorrowedFd> control_streams = {};
    std::vector<BorrowedFd> control_clients = {};
    std::vector<BorrowedFd> control_idle = {};
    BorrowedFd statistics;
    TaskCounts counts = {};
    pid_t relay = 0;
    std::string relay_directory = "";
    std::vector<pid_t> leaving_relays = {};
    uint64_t generation;
    uint32_t run_number;
};

// What the program that was here before has passed on, if it has; to be called once, at the start.
// The error: there is something, but not what it should be.
Result<std::optional<InheritedState>, std::string> take_inherited_state();

// Signals are blocked while one program becomes the other: those that come in between wait for the
// handlers of the new one.
void hold_signals_back();
void let_signals_in();

struct Trial {
    pid_t pid = 0;
    UniqueFd output;  // a file in memory: what it says to its standard error

    // Its lines, after its end.
    std::vector<std::string> lines() const;
};

// Starts `program` as a child.
Result<Trial> start_trial(const Program& program, const StateToPass& state);

// Executes `program` in our place; returns only if that fails, with everything as it was.
Errno become(const Program& program, const StateToPass& state);

}  // namespace proxyd
