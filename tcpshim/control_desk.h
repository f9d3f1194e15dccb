// SPDX-License-Identifier: MIT
//
// ControlDesk: what proxyctl may ask of tcpshim over its control socket, and the answers, as
// docs/TCPSHIM.md describes them. Used by supervisor, which opens the place with the configuration.
#pragma once

#include "base/daemon/control/control_socket.h"
#include "base/daemon/log.h"
#include "tcpshim/service_status.h"

#include <functional>
#include <string>
#include <vector>

namespace proxyd::shim {

class ControlDesk final : private ControlSocket::Owner {
  public:
    class Owner {
      public:
        // No problems: the configuration is in force.
        using Done = std::function<void(const std::vector<std::string>& problems)>;

        virtual void reload(Done done) = 0;
        virtual ServiceStatus status() = 0;
        virtual StatisticsTotals totals() = 0;
        virtual std::string metrics_text() = 0;
        virtual void set_level(LogLevel level) = 0;

      protected:
        ~Owner() = default;
    };

    ControlDesk(EventLoop& loop, Owner& owner) : owner_(owner), socket_(loop, *this) {}

    // Listens at the place of the next configuration, if it is another one. Where the default
    // place can't be had tcpshim does without, and says so.
    std::vector<std::string> open_next(const DaemonConfiguration& next);
    void put_next_in_force(const DaemonConfiguration& in_force);
    void give_next_up();
    void close();  // takes the socket's file away

  private:
    void on_request(const ControlReply& reply, const nlohmann::json& request) override;
    void on_last_stream_gone() override {}
    void answer_log_level(const ControlReply& reply, const nlohmann::json& request);

    Owner& owner_;
    ControlSocket socket_;
    std::string path_, next_path_;  // "": it listens nowhere
    UniqueFd next_listening_;
};

}  // namespace proxyd::shim
