// SPDX-License-Identifier: MIT
//
// CheckProbe: one active check of one backend: connect, say something, look at the answer, within
// the check's timeout. Used by active_check, which decides when, and what follows from it.
#pragma once

#include "base/daemon/event_loop.h"
#include "base/relay/configuration.h"
#include "tcpshim/backend_connect.h"
#include "tcpshim/check_exchange.h"

#include <array>
#include <optional>
#include <string>

namespace proxyd::shim {

class CheckProbe final : BackendConnect::Owner, ConnectPoll::Handler {
  public:
    class Owner {
      public:
        // The owner may destroy the probe.
        virtual void on_check_verdict(const CheckVerdict& verdict) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    // `check` and `request` outlive it.
    CheckProbe(EventLoop& loop, ConnectPoll& poll, const CheckConfiguration& check,
               const std::string& request, const BackendConnect::Target& target, Owner& owner);
    ~CheckProbe() { close(); }
    CheckProbe(const CheckProbe&) = delete;
    CheckProbe& operator=(const CheckProbe&) = delete;

    void start();  // the verdict may come from within

  private:
    void on_backend_connected(UniqueFd socket, const SocketAddress& address) noexcept override;
    void on_backend_failed(ConnectFailure failure) noexcept override;
    void on_socket_ready() noexcept override;
    void on_timeout() noexcept;
    void finish(const CheckVerdict& verdict);
    void close();

    ConnectPoll& poll_;
    const CheckConfiguration& check_;
    const std::string& request_;
    Owner& owner_;
    BackendConnect connect_;
    UniqueFd socket_;
    std::array<uint8_t, CheckReplyBytesMax> reply_;
    size_t reply_bytes_ = 0;
    TimerWatcher<&CheckProbe::on_timeout> timeout_;
};

}  // namespace proxyd::shim
