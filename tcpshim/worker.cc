// SPDX-License-Identifier: MIT
#include "tcpshim/worker.h"

#include "base/daemon/log.h"
#include "tcpshim/first_bytes.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

constexpr size_t BufferBytes = 16 * 1024;
constexpr size_t PipeBytes = 256 * 1024;
constexpr size_t PipesIdleMax = 64, PipesKeptWithoutClients = 1;
// Descriptors that are not for clients: logs, loop, site sockets, resolver, control channel.
constexpr size_t DescriptorsKept = 64;
// A limit may be reached with every client that comes.
constexpr auto LimitToldInterval = std::chrono::minutes(1);
// While clients wait for room, which attempts to connect take, too, and silently give back.
constexpr auto LookAgainInterval = std::chrono::milliseconds(100);
// Until the last client of a worker that drains has its backend.
constexpr auto SettledInterval = std::chrono::seconds(1);

static_assert(BufferBytes >= FirstBytesMax);

size_t descriptor_limit() {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

// A sixth of all descriptors: more relays than that hold bytes at once only if they are stalled,
// and go on without pipes then.
size_t affordable_pipes() {
    return std::max<size_t>(descriptor_limit() / 12, 2);
}

// Two sockets each; a quarter is left for pipes and for connections that are being made.
size_t affordable_connections() {
    const size_t limit = descriptor_limit();
    return limit > 2 * DescriptorsKept ? (limit - DescriptorsKept) / 4 * 3 / 2 : 8;
}

// Beyond one for each client, which has room anyway.
size_t attempts_that_are_many() {
    return std::max<size_t>(descriptor_limit() / 16, 1);
}

}  // namespace

Worker::Worker(EventLoop& loop, const Configuration& configuration, Resolver& resolver,
               const Elsewhere& elsewhere, Observer& observer)
    : loop_(loop),
      configuration_(configuration),
      observer_(observer),
      resolver_(resolver),
      connections_affordable_(affordable_connections()),
      poll_(loop),
      connecting_(loop, attempts_that_are_many()),
      pipes_(affordable_pipes(), PipesIdleMax, PipeBytes),
      buffer_(std::make_unique<uint8_t[]>(BufferBytes)),
      services_{loop, poll_, {pipes_, {buffer_.get(), BufferBytes}}, loops_, closing_, *this},
      elsewhere_(elsewhere.connections()),
      drain_timeout_(loop, *this),
      look_again_(loop, *this),
      rest_(loop, *this),
      before_wait_(loop, *this) {
    for (const SiteConfiguration& site : configuration.sites)
        sites_.push_back(std::make_unique<Site>(loop, resolver, connecting_, site));
    for (const auto& site : sites_) {
        site->group.count_also(elsewhere);
        site_elsewhere_.push_back(elsewhere.connections_of_site(site->configuration.directory));
    }
    told_site_full_at_.resize(sites_.size());
}

Worker::~Worker() = default;

void Worker::start(std::vector<SiteSocket> sockets) {
    for (SiteSocket& socket : sockets)
        receivers_.push_back(std::make_unique<Receiver>(loop_, std::move(socket),
                                                        static_cast<Receiver::Owner&>(*this)));
}

bool Worker::has_room_for(const SiteSocket& from) {
    const Site& site = *sites_[from.site];
    const size_t site_max = site.configuration.connections_max;
    const size_t all_max = std::min(configuration_.connections_max, connections_affordable_);
    const bool is_site_full =
        site_max != 0 && site.connections + site_elsewhere_[from.site].read() >= site_max;
    // Two sockets each; an attempt to connect is one, and a client may have several under way.
    const bool has_descriptors =
        2 * connections_.size() + connecting_.size() < 2 * connections_affordable_;
    const bool is_all_full =
        connections_.size() >= connections_affordable_ ||
        connections_.size() + elsewhere_.read() >= configuration_.connections_max;
    if (!is_site_full && has_descriptors && !is_all_full) return true;
    is_anybody_waiting_ = true;
    if (!look_again_.is_active()) look_again_.start(LookAgainInterval);
    if (is_site_full)
        tell_of_limit(told_site_full_at_[from.site],
                      fmt::format("site {}: connections_max ({}) is reached",
                                  site.configuration.name, site_max));
    else
        tell_of_limit(told_full_at_,
                      fmt::format("{} ({}) is reached",
                                  !has_descriptors || all_max < configuration_.connections_max
                                      ? "what the limit of open files allows"
                                      : "connections_max",
                                  all_max));
    return false;
}

void Worker::tell_of_limit(Clock::time_point& told_at, const std::string& text) {
    const Clock::time_point now = Clock::now();
    if (told_at != Clock::time_point{} && now - told_at < LimitToldInterval) return;
    told_at = now;
    log_warning("{}: more clients wait", text);
}

void Worker::on_client(ReceivedConnection received, const SiteSocket& from) noexcept {
    Site& site = *sites_[from.site];
    auto made = std::make_unique<Connection>(services_, site, std::move(received), from.port);
    Connection& connection = *made;
    connection.index = connections_.size();
    connections_.push_back(std::move(made));
    site.connections++;
    observer_.on_connection_begin(site);
    connection.begin();
}

void Worker::on_connection_end(Connection& connection, const ConnectionRecord& record) noexcept {
    observer_.on_connection_end(record);
    connection.site().connections--;
    const size_t index = connection.index;
    std::swap(connections_[index], connections_.back());
    connections_[index]->index = index;
    connections_.pop_back();
    if (connections_.empty()) pipes_.trim(PipesKeptWithoutClients);
    if (is_anybody_waiting_) look_for_room();
    tell_if_drained();
}

void Worker::look_for_room() noexcept {
    is_anybody_waiting_ = false;
    for (const auto& receiver : receivers_)
        if (receiver->waits_for_room() && has_room_for(receiver->socket())) receiver->go_on();
}

void Worker::drain(bool takes_what_is_queued) {
    if (is_draining_) return;
    for (const auto& receiver : receivers_)
        receiver->stop(takes_what_is_queued);
    is_draining_ = true;
    rest_if_settled();
    tell_if_drained();
}

// Who drains for weeks needn't know who is up: that is its successor's affair.
void Worker::rest_if_settled() noexcept {
    const bool is_settled = std::ranges::none_of(connections_, [](const auto& connection) {
        return connection->state() < Connection::State::Relaying;
    });
    if (!is_settled) return rest_.start(SettledInterval);
    for (const auto& site : sites_)
        site->group.rest();
    resolver_.rest();
}

void Worker::limit_drain() {
    if (!drain_timeout_.is_active()) drain_timeout_.start(configuration_.drain_timeout);
}

void Worker::on_drain_timeout() noexcept {
    while (!connections_.empty())
        connections_.back()->end_now(Ending::DrainTimeout);
}

void Worker::tell_if_drained() {
    if (is_draining_ && connections_.empty()) observer_.on_drained();
}

}  // namespace proxyd::shim
