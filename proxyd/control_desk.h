// SPDX-License-Identifier: MIT
//
// ControlDesk: the supervisor's part that talks over the control socket: it opens the socket for
// the configuration in force, carries it through an upgrade, answers what can be answered, passes
// on what the supervisor must do, and tells of events. Used by supervisor.
#pragma once

#include "proxyd/control_commands.h"
#include "proxyd/status_report.h"
#include "proxyd/upgrade.h"
#include "proxyd/worker_process.h"

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

class ControlDesk final : public ControlOperations {
  public:
    class Owner {
      public:
        using Done = std::function<void(const Problems&)>;

        virtual void reload(Done done) = 0;
        virtual void upgrade(Done done) = 0;
        virtual std::string metrics_text() = 0;
        // Of the configuration in force; not too many.
        virtual std::vector<std::string> warnings() = 0;
        // All but `last_reload` and `log_level`.
        virtual StatusReport status_report() = 0;
        virtual const std::vector<std::unique_ptr<WorkerProcess>>& worker_processes() = 0;
        // Of the generation in force.
        virtual bool is_serving(const WorkerProcess& worker) = 0;

      protected:
        ~Owner() = default;
    };

    ControlDesk(EventLoop& loop, Owner& owner);

    // Listens at the place of the next configuration, if it is another one; until it is put in
    // force nobody is answered there. Where the default place can't be had, proxyd does without; if
    // somebody else answers there, it tries again until that one has gone.
    Problems open_next(const Configuration& next);
    void put_next_in_force(const Configuration& in_force);
    void give_next_up();
    void close();  // takes the socket's file away

    // An upgrade, in the old and in the new program.
    void pass_on(StateToPass& state) const;
    void adopt(InheritedState& inherited);
    // In a trial: what lies at that path is somebody else's.
    void leave_alone(const std::string& path);

    // What a worker has said; main believes no more of it than it must.
    void on_worker_message(const WorkerProcess& worker, const nlohmann::json& message);
    void on_worker_serving(WorkerProcess& worker);
    void on_worker_ended(const WorkerProcess& worker);
    void on_worker_lost(const WorkerProcess& worker, const std::string& how);
    // "reload" or "upgrade" is through.
    void on_task_end(std::string_view what, uint64_t generation, const Problems& problems);

  private:
    // ControlOperations
    void answer_status(const ControlReply& reply) override;
    void answer_reload(const ControlReply& reply) override;
    void answer_upgrade(const ControlReply& reply) override;
    void answer_log_level(const std::optional<std::string>& level,
                          const ControlReply& reply) override;
    void answer_metrics(const ControlReply& reply) override;
    std::vector<uint64_t> workers() override;
    bool send_to_worker(uint64_t key, const nlohmann::json& message) override;

    void publish(const nlohmann::json& event);
    void on_retry() noexcept;

    Owner& owner_;
    ControlCommands commands_;
    ControlSocket socket_;
    std::string path_;  // "": it listens nowhere
    std::string next_path_;
    UniqueFd next_listening_;
    bool is_next_to_be_tried_ = false;  // the place of the next configuration is taken
    std::string path_to_try_;           // while retry_ is active
    TimerWatcher<&ControlDesk::on_retry> retry_;
    std::vector<ControlReply> upgrade_replies_;
    std::optional<StatusReport::Task> last_reload_;
};

}  // namespace proxyd
