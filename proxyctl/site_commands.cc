// SPDX-License-Identifier: MIT
//
// `proxyctl site add` and `site list`: directories of sites. A proxyd that runs is asked who its
// workers are and where its sites; none need be running.
#include "proxyctl/commands.h"
#include "proxyctl/site_directory.h"
#include "proxyctl/text.h"
#include "proxyctl/workers_user.h"

#include <errno.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <optional>

namespace proxyd {
namespace {

std::optional<unsigned> number_of(std::string_view text) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

std::optional<uid_t> user_number(const std::string& name) {
    if (const passwd* user = getpwnam(name.c_str())) return user->pw_uid;
    return number_of(name);
}

std::optional<gid_t> group_number(const std::string& name) {
    if (const group* found = getgrnam(name.c_str())) return found->gr_gid;
    return number_of(name);
}

// Nothing: it was said what is wrong.
std::optional<SiteDirectoryOwner> owner_of(const Invocation& invocation, const std::string& sites) {
    const CommandLine& line = invocation.line;
    if (!line.has("owner")) {
        complain(WrongUse, "--owner is missing, see proxyctl site add --help");
        return std::nullopt;
    }
    const std::string user(line.last("owner", ""));
    const auto user_found = user_number(user);
    if (!user_found) {
        complain(WrongUse, fmt::format("--owner {}: there is no such user", user));
        return std::nullopt;
    }
    if (!line.has("group")) {
        // Nobody else's could be given without root, whose proxyd it is hardly meant for.
        if (geteuid() != 0) return SiteDirectoryOwner{*user_found, getegid()};
        if (const auto workers = find_workers_user(invocation, sites))
            return SiteDirectoryOwner{*user_found, workers->gid};
        complain(WrongUse,
                 "there is neither a user proxyd nor nobody: --group must say the group "
                 "of proxyd's workers");
        return std::nullopt;
    }
    const std::string group(line.last("group", ""));
    const auto group_found = group_number(group);
    if (group_found) return SiteDirectoryOwner{*user_found, *group_found};
    complain(WrongUse, fmt::format("--group {}: there is no such group", group));
    return std::nullopt;
}

void say_what_next(const std::string& path, const SiteDirectoryOwner& owner) {
    const std::string user = user_name(owner.user), group = group_name(owner.group);
    fmt::print("{} is there: owner {}, group {}, mode 2750.\n\n", path, user, group);
    fmt::print("Start the server as {}, so that it takes its clients there:\n", user);
    fmt::print("    proxyrun --site '{}' -- COMMAND...\n", path);
    if (path.starts_with("/run/"))
        fmt::print(
            "\n/run is empty after a reboot. To have it made again, put this line into\n"
            "/etc/tmpfiles.d/proxyd-sites.conf:\n"
            "    d {} 2750 {} {} -\n",
            path, user, group);
}

// The value of the key `sites` in force; nothing: proxyd can't be asked.
std::optional<std::string> sites_of_proxyd(const Invocation& invocation) {
    auto client = ControlClient::connect_to(invocation.control());
    if (!client) return std::nullopt;
    std::optional<std::string> sites;
    (void)client->ask({{"do", "status"}}, [&](const Json& status) {
        sites = text_at(status, "sites");
        return true;
    });
    return sites;
}

void say_what_leads_there(const Invocation& invocation, const std::string& sites,
                          const std::string& name) {
    const auto in_force = sites_of_proxyd(invocation);
    if (in_force == sites) {
        fmt::print("\nClients that ask for {} come here unless a route says otherwise.\n", name);
        return;
    }
    fmt::print("\nRoute clients to it, in \"routes\" of proxyd's configuration{}:\n",
               in_force ? "" : fmt::format(", unless its \"sites\" is \"{}\"", sites));
    // Hardly anybody asks for a name like "blog".
    const bool is_whole = name.find('.') != name.npos;
    fmt::print("    \"{}{}\": \"{}/{}\"{}\n", name, is_whole ? "" : ".example.org", sites, name,
               is_whole ? "" : "  // the name that they ask for");
}

// "" unless a directory is there already.
std::string how_to_mend(const std::string& path, const SiteDirectoryOwner& owner) {
    struct stat status;
    if (lstat(path.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) return "";
    return fmt::format(
        "; to give it the right group and mode: chgrp {0} '{1}' && chmod 2750 '{1}', and restart "
        "the server",
        group_name(owner.group), path);
}

Json entry_json(const SiteDirectoryEntry& entry) {
    return {{"name", entry.name},
            {"mode", fmt::format("{:04o}", entry.mode)},
            {"user", user_name(entry.user)},
            {"group", group_name(entry.group)},
            {"sockets", entry.sockets},
            {"problems", entry.problems}};
}

}  // namespace

int run_site_add(const Invocation& invocation) {
    const auto name = site_directory_name(invocation.word());
    if (!name) return complain(WrongUse, name.error());
    const std::string sites(invocation.line.last("sites", DefaultSitesDirectory));
    const auto owner = owner_of(invocation, sites);
    if (!owner) return WrongUse;
    if (!sites.starts_with('/'))
        return complain(WrongUse, fmt::format("--sites {}: is no absolute path", sites));
    const auto made = make_site_directory(sites, *name, *owner);
    if (!made)
        return complain(SystemRefused, made.error() + how_to_mend(sites + "/" + *name, *owner));
    say_what_next(sites + "/" + *name, *owner);
    say_what_leads_there(invocation, sites, *name);
    return Fine;
}

int run_site_list(const Invocation& invocation) {
    const std::string sites(invocation.line.last("sites", DefaultSitesDirectory));
    const auto workers = find_workers_user(invocation, sites);
    const auto entries = list_site_directories(sites, workers ? &*workers : nullptr);
    if (!entries) return complain(SystemRefused, entries.error());
    Table table({"NAME", "OWNER", "GROUP", "MODE", ">SOCKETS", "NOTE"});
    for (const SiteDirectoryEntry& entry : *entries) {
        if (invocation.is_json()) {
            fmt::print("{}\n",
                       entry_json(entry).dump(-1, ' ', false, Json::error_handler_t::replace));
            continue;
        }
        std::string notes;
        for (const std::string& problem : entry.problems)
            notes += (notes.empty() ? "" : "; ") + printable_text(problem);
        table.add({printable_text(entry.name), user_name(entry.user), group_name(entry.group),
                   fmt::format("{:04o}", entry.mode),
                   entry.is_readable ? std::to_string(entry.sockets.size()) : "?", notes});
    }
    if (!invocation.is_json()) fmt::print("{}", table.text());
    return Fine;
}

}  // namespace proxyd
