// SPDX-License-Identifier: MIT
#include "proxyd/worker.h"

#include "base/daemon/log.h"
#include "proxyd/descriptor_room.h"

#include <fmt/format.h>

#include <algorithm>

namespace proxyd {
namespace {

constexpr size_t SitesMax = 4096;
constexpr auto MemoryTellingInterval = std::chrono::seconds(10);
constexpr auto LogRetryTime = std::chrono::seconds(1);

}  // namespace

Worker::Worker(EventLoop& loop, const Configuration& configuration, WorkerResources resources)
    : loop_(loop),
      configuration_(configuration),
      sessions_max_(share_of_worker(configuration.sessions_max, configuration.workers)),
      sessions_affordable_(affordable_sessions(descriptor_limit())),
      access_log_(std::move(resources.access_log)),
      statistics_(resources.statistics),
      directory_watch_(loop),
      sites_directory_(configuration.sites.empty()
                           ? std::nullopt
                           : std::optional<SitesDirectory>(std::in_place, loop, directory_watch_,
                                                           configuration.sites)),
      routes_(std::move(resources.routes), sites_directory_ ? &*sites_directory_ : nullptr),
      clients_(loop, *this),
      sites_(loop, directory_watch_, std::min(SitesMax, descriptor_limit() / 8 + 1),
             [this](Site& site) { on_site_room(site); }),
      peek_buffer_(configuration.hello_bytes_max),
      services_{loop,
                configuration,
                routes_,
                sites_,
                clients_,
                access_log_,
                statistics_,
                sessions_,
                expendable_,
                peek_buffer_,
                resources.run_number,
                closing_,
                share_of_worker(configuration.pending_max, configuration.workers),
                resources.source_limits,
                resources.source_column},
      log_retry_(loop, *this),
      before_wait_(loop, *this) {
    access_log_.count_in(statistics_);
}

std::string unreadable_sites(const Configuration& configuration, std::string_view user, Errno why) {
    return fmt::format("{}: cannot read {}{}{}: {}", configuration.sites_place, configuration.sites,
                       user.empty() ? "" : " as the user ", user, errno_text(why.number));
}

Result<void, std::string> Worker::prepare(bool is_replacement, std::string_view user) {
    if (!directory_watch_.is_open() || !clients_.is_open())
        return Unexpected{
            std::string("proxyd: cannot make an inotify instance or an epoll set: the user of the "
                        "workers has too many (sysctl fs.inotify.max_user_instances; each worker "
                        "has one, those that drain included), or too many descriptors are open")};
    if (!sites_directory_) return {};
    const auto opened = sites_directory_->open();
    if (opened) return {};
    if (is_replacement) {
        log_error("{}", unreadable_sites(configuration_, user, opened.error()));
        sites_directory_->retry_until_open();
        return {};
    }
    return Unexpected{unreadable_sites(configuration_, user, opened.error())};
}

void Worker::start(std::vector<ListeningSocket> sockets) {
    for (ListeningSocket& socket : sockets)
        listeners_.push_back(std::make_unique<Listener>(loop_, std::move(socket), *this));
}

// The listeners stay, without their sockets: sessions refer to where they came in.
void Worker::drain() {
    if (is_draining_) return;
    is_draining_ = true;
    for (const auto& listener : listeners_)
        listener->stop();
}

void Worker::end_now() {
    drain();
    sessions_.for_each([](Session& session) { session.give_up(Refusal::Stopping, "stopping"); });
    loop_.stop();
}

void Worker::replace_access_log(UniqueFd file) {
    access_log_.replace(std::move(file));
}

WorkerReportSubjects Worker::report_subjects() {
    return {configuration_, sites_directory_ ? &*sites_directory_ : nullptr, sites_, sessions_,
            [this](const ExplainRequest& request) { return explain(request); }};
}

Explanation Worker::explain(const ExplainRequest& request) const {
    std::vector<const Entrance*> entrances;
    for (const auto& listener : listeners_)
        entrances.push_back(&listener->entrance());
    return proxyd::explain(request, routes_, entrances);
}

// Whoever is being refused already, or has kept its hello to itself for longest, goes first. At
// sessions_max, when most of all sessions wait for sites, the oldest one at the site where most
// wait goes: clients of a site that is down must not keep those of others out. Short of descriptors
// alone, those who wait are kept, and the next clients wait in the kernel's queue.
Session* Worker::next_to_go() {
    const size_t waiting_for_sites = sessions_.size() - expendable_.size();
    const bool is_at_most = sessions_.size() >= sessions_max_;
    if (is_at_most && (expendable_.front() == nullptr || waiting_for_sites > sessions_max_ / 2))
        return sites_.most_waited_for()->first_of_most_waiting();
    return expendable_.front();
}

bool Worker::is_full() const {
    return sessions_.size() >= std::min(sessions_max_, sessions_affordable_);
}

std::optional<AcceptPause> Worker::lack_of_room() {
    const bool has_memory = sessions_.reserve_one();
    if ((has_memory && !is_full()) || next_to_go() != nullptr) return std::nullopt;
    return has_memory ? AcceptPause::NoRoom : AcceptPause::Memory;
}

void Worker::on_accepted(UniqueFd connection, const SocketAddress& client,
                         const Entrance& entrance) {
    statistics_.accepted.add(1);
    const bool has_memory = sessions_.reserve_one();
    if (is_full() || !has_memory) {
        if (!has_memory) log_shortage_of_memory();
        Session* const oldest = next_to_go();
        oldest->give_up(Refusal::Limit, has_memory ? "sessions_max" : "out_of_memory");
        sessions_.erase(*oldest);
    }
    Session& session = sessions_.add(services_, std::move(connection), client, entrance);
    finish_if_done(session, session.begin());
}

void Worker::log_shortage_of_memory() {
    const Clock::time_point now = Clock::now();
    if (now < tells_of_memory_from_) return;
    tells_of_memory_from_ = now + MemoryTellingInterval;
    log_warning("no memory for another session: the oldest ones make room");
}

void Worker::on_accept_pause(AcceptPause cause) {
    statistics_.count_accept_pause(cause);
}

void Worker::on_client_event(uint64_t key, uint32_t epoll_events) {
    Session* const session = sessions_.find(key);
    if (session != nullptr) finish_if_done(*session, session->on_client_event(epoll_events));
}

// Both families in turn, each until its first one has to go on waiting.
void Worker::on_site_room(Site& site) {
    bool ipv4_waits = true, ipv6_waits = true;
    while (ipv4_waits || ipv6_waits) {
        if (ipv4_waits) ipv4_waits = resume_first_waiting(site, AF_INET);
        if (ipv6_waits) ipv6_waits = resume_first_waiting(site, AF_INET6);
    }
}

// Whether it is worth to go on with the next one.
bool Worker::resume_first_waiting(Site& site, sa_family_t client_family) {
    Session* const session = site.first_waiting(client_family);
    if (session == nullptr) return false;
    finish_if_done(*session, session->on_site_room());
    return site.first_waiting(client_family) != session;
}

void Worker::finish_if_done(Session& session, Session::Progress progress) {
    if (progress == Session::Progress::Done) sessions_.erase(session);
}

void Worker::on_before_wait() noexcept {
    closing_.close_all();
    access_log_.flush();
    for (const auto& listener : listeners_)
        if (listener->waits_for_room() && !lack_of_room()) listener->go_on();
    if (is_draining_ && sessions_.size() == 0) loop_.stop();
    if (access_log_.has_pending() && !log_retry_.is_active()) log_retry_.start(LogRetryTime);
    statistics_.count_log_lines(take_log_line_counts());
}

}  // namespace proxyd
