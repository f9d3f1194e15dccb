// SPDX-License-Identifier: MIT
//
// MetricsHttp: serves the metrics over HTTP, at /metrics and nowhere else, to the processes of this
// machine. Used by the daemons. libmicrohttpd speaks HTTP, driven by our event loop and without a
// thread; accepting is ours, so that being out of descriptors makes nothing spin.
//
// Each connection serves one request and ends five seconds after it was accepted at the latest;
// there are no more than 16 of them, and further ones wait in the kernel's queue. It knows no
// passwords: who may connect is decided by the address, which is one of loopback, or the Unix
// socket's mode.
#pragma once

#include "base/daemon/configuration/daemon_configuration.h"
#include "base/daemon/event_loop.h"
#include "base/posix/result.h"
#include "base/posix/unique_fd.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct MHD_Connection;
struct MHD_Daemon;

namespace proxyd {

// The error is a whole message, "file:line: metrics: cannot listen on ...". A Unix socket is put in
// place in one step, with mode 0660 and the group of its directory; a socket that nobody listens at
// is replaced, and nothing else.
Result<UniqueFd, std::string> bind_metrics_socket(const MetricsAddress& metrics);
// At the end of the service, while we listen there still; does nothing for other addresses.
void remove_metrics_socket(const MetricsAddress& metrics);

class MetricsHttp {
  public:
    static constexpr size_t ConnectionsMax = 16;

    class Owner {
      public:
        virtual std::string metrics_text() = 0;

      protected:
        ~Owner() = default;
    };

    // Borrows `loop` and `owner`; `program` is named in answers that are no metrics, and outlives
    // us. The error is what the library could not get.
    static Result<std::unique_ptr<MetricsHttp>> create(EventLoop& loop, UniqueFd listening_socket,
                                                       Owner& owner, std::string_view program);
    ~MetricsHttp();
    MetricsHttp(const MetricsHttp&) = delete;
    MetricsHttp& operator=(const MetricsHttp&) = delete;

    // For those who come after us.
    BorrowedFd listening_socket() const { return listening_socket_; }

  private:
    struct Client {
        MHD_Connection* connection;
        int socket;  // owned by the library
        Clock::time_point deadline;
    };
    struct Callbacks;

    MetricsHttp(EventLoop& loop, UniqueFd listening_socket, Owner& owner, std::string_view program);
    Result<void> start();
    void accept_one();
    void run();
    void end_overdue_clients();
    void on_connecting() noexcept;
    void on_ready() noexcept;
    void on_timer() noexcept;
    void on_pause_over() noexcept;

    UniqueFd listening_socket_;
    Owner& owner_;
    const std::string_view program_;
    MHD_Daemon* library_ = nullptr;
    std::vector<Client> clients_;  // in the order of their deadlines
    ReadWatcher<&MetricsHttp::on_connecting> connecting_;
    ReadWatcher<&MetricsHttp::on_ready> ready_;
    TimerWatcher<&MetricsHttp::on_timer> timer_;
    TimerWatcher<&MetricsHttp::on_pause_over> pause_;
};

}  // namespace proxyd
