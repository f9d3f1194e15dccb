// SPDX-License-Identifier: MIT
#include "tcpshim/worker.h"

#include "tcpshim/first_bytes.h"

#include <sys/resource.h>

#include <algorithm>

namespace proxyd::shim {
namespace {

constexpr size_t BufferBytes = 16 * 1024;
constexpr size_t PipeBytes = 256 * 1024;
constexpr size_t PipesIdleMax = 64, PipesKeptWithoutClients = 1;
// Descriptors that are not for clients: logs, loop, site sockets, resolver, control channel.
constexpr size_t DescriptorsKept = 64;

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

}  // namespace

Worker::Worker(EventLoop& loop, const Configuration& configuration, Resolver& resolver,
               Observer& observer)
    : loop_(loop),
      configuration_(configuration),
      observer_(observer),
      connections_affordable_(affordable_connections()),
      poll_(loop),
      connecting_(loop),
      pipes_(affordable_pipes(), PipesIdleMax, PipeBytes),
      buffer_(std::make_unique<uint8_t[]>(BufferBytes)),
      services_{loop, poll_, {pipes_, {buffer_.get(), BufferBytes}}, closing_, *this},
      drain_timeout_(loop, *this),
      before_wait_(loop, *this) {
    for (const SiteConfiguration& site : configuration.sites)
        sites_.push_back(std::make_unique<Site>(loop, resolver, connecting_, site));
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
    const bool has_room =
        connections_.size() < std::min(configuration_.connections_max, connections_affordable_) &&
        (site_max == 0 || site.connections < site_max);
    if (!has_room) is_anybody_waiting_ = true;
    return has_room;
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
    if (is_anybody_waiting_) {
        is_anybody_waiting_ = false;
        for (const auto& receiver : receivers_)
            if (receiver->waits_for_room() && has_room_for(receiver->socket())) receiver->go_on();
    }
    tell_if_drained();
}

void Worker::drain(bool takes_what_is_queued) {
    if (is_draining_) return;
    for (const auto& receiver : receivers_)
        receiver->stop(takes_what_is_queued);
    is_draining_ = true;
    tell_if_drained();
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
