// SPDX-License-Identifier: MIT
#include "base/daemon/log.h"
#include "base/handoff/instance_label.h"
#include "proxyd/session.h"
#include "proxyd/site_directory_view.h"
#include "proxyd/worker_reports.h"

#include <errno.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

namespace proxyd {
namespace {

using Json = nlohmann::json;

constexpr size_t SocketsMax = 256;
// What a queued handoff with a payload of up to 192 bytes takes of its sender's buffer (measured;
// those with long names take 1280).
constexpr unsigned QueuedBytes = 768;

// Whoever may write to the directory chooses the names of files.
std::string escaped(std::string_view file_name) {
    std::string text;
    append_escaped(text, file_name);
    return text;
}

std::string mode_text(mode_t mode) {
    return fmt::format("{:04o}", mode);
}

std::string_view state_word(const SiteSocketView& socket) {
    if (!socket.is_permitted) return "not_permitted";
    if (socket.is_stream) return "stream";
    switch (socket.state) {
        case SiteSocketState::Alive:
            return "live";
        case SiteSocketState::Dead:
            return "dead";
        case SiteSocketState::Absent:
        case SiteSocketState::Unknown:
            return "unknown";
    }
    return "unknown";
}

// What the server believes to be listening on, for servers under libpreload.
Json listener_of(std::string_view instance) {
    const auto label = InstanceLabel::parse(instance);
    if (!label) return nullptr;
    SocketAddress::Text text;
    return {{"address", label->address.format(text)},
            {"ipv4", label->suits(AF_INET)},
            {"ipv6", label->suits(AF_INET6)}};
}

Json socket_report(const SiteSocketView& socket) {
    return {{"file", escaped(socket.file_name)},
            {"state", state_word(socket)},
            {"queued", 0},
            {"server_listens_on", listener_of(socket.instance)},
            {"mode", mode_text(socket.mode)},
            {"uid", socket.owner},
            {"gid", socket.group},
            {"world_writable", (socket.mode & S_IWOTH) != 0}};
}

Json directory_report(const SiteDirectoryView& view) {
    if (view.error == ENOENT) return {{"state", "absent"}};
    Json report = {{"state", view.error == 0 ? "there" : "unusable"}};
    if (view.error != 0) report["error"] = errno_text(view.error);
    if (view.error == EACCES) report["worker_uid"] = geteuid();
    if (!view.is_known) return report;
    report["mode"] = mode_text(view.mode);
    report["uid"] = view.owner;
    report["gid"] = view.group;
    return report;
}

uint64_t queued_in(BorrowedFd sender) {
    int bytes = 0;
    if (ioctl(sender.number(), SIOCOUTQ, &bytes) != 0 || bytes <= 0) return 0;
    return (static_cast<unsigned>(bytes) + QueuedBytes - 1) / QueuedBytes;
}

uint64_t milliseconds_since(Clock::time_point time) {
    const auto age = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - time);
    return age.count() < 0 ? 0 : static_cast<uint64_t>(age.count());
}

Json& port_in(std::map<uint16_t, Json>& ports, uint16_t port) {
    return ports
        .try_emplace(port, Json{{"port", port},
                                {"waiting", 0},
                                {"waiting_ms", 0},
                                {"last_taker", ""},
                                {"sockets", Json::array()}})
        .first->second;
}

// Null: there is none, and none is added.
Json* socket_in(Json& sockets, std::string_view file_name, bool adds) {
    for (Json& socket : sockets)
        if (socket["file"] == file_name) return &socket;
    if (!adds) return nullptr;
    sockets.push_back({{"file", file_name}, {"queued", 0}});
    return &sockets.back();
}

// A socket that isn't in the directory any more has a sender until the next client comes, but gets
// no clients; whether it is there, only who has looked knows.
void add_site(Json& port, Site& site, bool has_looked) {
    uint64_t oldest = 0;
    for (const sa_family_t family : {sa_family_t{AF_INET}, sa_family_t{AF_INET6}})
        if (const Session* first = site.first_waiting(family))
            oldest = std::max(oldest, milliseconds_since(first->snapshot().waits_since));
    port["waiting"] = site.waiting_count();
    port["waiting_ms"] = oldest;
    port["last_taker"] = escaped(site.last_taker());
    site.for_each_sender([&](std::string_view file_name, BorrowedFd sender) {
        Json* const socket = socket_in(port["sockets"], escaped(file_name), !has_looked);
        if (socket != nullptr) (*socket)["queued"] = queued_in(sender);
    });
}

}  // namespace

Json site_report(const std::string& directory, bool looks, bool follows_links,
                 const SiteTable& table) {
    Json report = {{"site", directory}};
    std::map<uint16_t, Json> ports;
    if (looks) {
        const auto view = SiteDirectoryView::look(directory, follows_links, SocketsMax);
        report["directory"] = directory_report(view);
        for (const SiteSocketView& socket : view.sockets)
            port_in(ports, socket.port)["sockets"].push_back(socket_report(socket));
    }
    table.for_each([&](Site& site) {
        if (site.directory() == directory) add_site(port_in(ports, site.port()), site, looks);
    });
    report["ports"] = Json::array();
    for (auto& [number, port] : ports)
        report["ports"].push_back(std::move(port));
    return report;
}

}  // namespace proxyd
