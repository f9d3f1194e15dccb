// SPDX-License-Identifier: MIT
#include "proxyctl/show.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace proxyd {
namespace {

// Its workers may send to a socket that they may write to.
std::string why_not_permitted(const Json& socket) {
    if (!socket.contains("uid") || !socket.contains("gid"))
        return fmt::format("mode {} keeps proxyd out", shown(socket, "mode"));
    const std::string mode = text_at(socket, "mode");
    const bool may_group_write = mode.size() == 4 && ((mode[2] - '0') & (S_IWGRP >> 3)) != 0;
    return fmt::format(
        "owner {}, group {}, mode {}: {}", user_name(static_cast<uid_t>(number_at(socket, "uid"))),
        group_name(static_cast<gid_t>(number_at(socket, "gid"))), shown(socket, "mode"),
        may_group_write ? "the user of proxyd's workers is not in that group"
                        : "proxyd's workers may not write there");
}

std::string note_on(const Json& socket) {
    const std::string state = text_at(socket, "state");
    if (state == "stream") return "a stream socket, which receives no handoffs";
    if (flag_at(socket, "world_writable"))
        return "world-writable: everybody here can inject connections";
    if (state == "dead") return "nobody has it open";
    if (state == "not_permitted") return why_not_permitted(socket);
    const auto listener = socket.find("server_listens_on");
    if (listener == socket.end() || !listener->is_object()) return "";
    return fmt::format("server listens on {}", shown(*listener, "address"));
}

void add_note(std::string& notes, std::string_view note) {
    if (!notes.empty()) notes += "; ";
    notes += note;
}

std::string waiting_time(const Json& port) {
    return number_at(port, "waiting") == 0 ? "-" : duration_text(number_at(port, "waiting_ms"));
}

std::string directory_note(const Json& site) {
    const auto directory = site.find("directory");
    if (directory == site.end() || !directory->is_object()) return "";
    const std::string state = text_at(*directory, "state");
    if (state == "absent") return "there is no such directory";
    if (state == "unusable") return why_unusable(site);
    return "";
}

std::string or_else(std::string text, std::string_view otherwise) {
    return text.empty() ? std::string(otherwise) : text;
}

}  // namespace

std::string why_unusable(const Json& site) {
    const auto directory = site.find("directory");
    if (directory == site.end() || !directory->is_object() ||
        text_at(*directory, "state") != "unusable")
        return "";
    if (!directory->contains("worker_uid")) return text_at(*directory, "error");
    const std::string user = user_name(static_cast<uid_t>(number_at(*directory, "worker_uid")));
    if (!directory->contains("uid") || !directory->contains("gid"))
        return fmt::format("proxyd's user {} may not enter a directory above it", user);
    return fmt::format("proxyd's user {} may not enter it: owner {}, group {}, mode {}", user,
                       user_name(static_cast<uid_t>(number_at(*directory, "uid"))),
                       group_name(static_cast<gid_t>(number_at(*directory, "gid"))),
                       shown(*directory, "mode"));
}

std::vector<std::vector<std::string>> socket_rows(const Json& port) {
    std::vector<std::vector<std::string>> rows;
    for (const Json& socket : objects_at(port, "sockets"))
        rows.push_back({shown(socket, "file"), shown(socket, "state"), shown(socket, "queued"),
                        note_on(socket)});
    return rows;
}

std::string show_sites(const std::vector<Json>& sites) {
    Table table({"SITE", ">PORT", "SOCKET", "STATE", ">QUEUED", ">WAITING", ">SINCE", "NOTE"});
    for (const Json& site : sites) {
        const auto ports = objects_at(site, "ports");
        if (ports.empty())
            table.add({shown(site, "site"), "-", "-", "-", "-", "-", "-",
                       or_else(directory_note(site),
                               site.contains("directory") ? "no socket in it" : "")});
        for (const Json& port : ports) {
            auto rows = socket_rows(port);
            if (rows.empty())
                rows.push_back(
                    {"-", "-", "-", or_else(directory_note(site), "no socket for this port")});
            if (const auto listened = port.find("listened_at");
                listened != port.end() && *listened == false)
                add_note(rows.front()[3],
                         fmt::format("proxyd doesn't listen on port {}", shown(port, "port")));
            for (const auto& row : rows)
                table.add({shown(site, "site"), shown(port, "port"), row[0], row[1], row[2],
                           shown(port, "waiting"), waiting_time(port), row[3]});
        }
    }
    return table.text();
}

}  // namespace proxyd
