// SPDX-License-Identifier: MIT
#include "proxyd/worker_reports.h"

#include "base/daemon/log.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

namespace proxyd {
namespace {

using Json = nlohmann::json;

constexpr uint64_t ItemsMax = 10'000;
constexpr size_t ListedMax = 100;  // of addresses or protocols of one route
constexpr std::string_view FromSites = "sites/";

std::string text_in(const nlohmann::json& request, const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_string() ? found->get<std::string>() : std::string();
}

uint64_t count_in(const nlohmann::json& request, const char* key, uint64_t otherwise) {
    const auto found = request.find(key);
    return found != request.end() && found->is_number_unsigned() ? found->get<uint64_t>()
                                                                 : otherwise;
}

size_t limit_in(const nlohmann::json& request) {
    return std::clamp<uint64_t>(count_in(request, "limit", 1), 1, ItemsMax);
}

bool is_set(const nlohmann::json& request, const char* key) {
    const auto found = request.find(key);
    return found != request.end() && found->is_boolean() && found->get<bool>();
}

Json text_or_null(std::string_view text) {
    return text.empty() ? Json(nullptr) : Json(text);
}

std::string escaped(std::string_view raw) {
    std::string text;
    append_escaped(text, raw);
    return text;
}

uint64_t milliseconds(Clock::duration duration) {
    const auto count = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
    return count < 0 ? 0 : static_cast<uint64_t>(count);
}

Json session_report(const Session::Snapshot& session, Clock::time_point now) {
    SocketAddress::Text client, listener;
    return {{"id", session.id},
            {"client", session.client.format(client)},
            {"listener", session.listener.format(listener)},
            {"protocol", text_or_null(session.protocol)},
            {"name", text_or_null(escaped(session.name))},
            {"state", session.state},
            {"age_ms", milliseconds(now - session.accepted_at)},
            {"waits_ms", milliseconds(now - session.waits_since)},
            {"bytes_seen", session.bytes_seen},
            {"route", text_or_null(session.route)},
            {"site", text_or_null(session.site_directory)}};
}

// The site directories behind `page` in alphabetical order, and one more than `limit`, so that it
// shows whether there are more. Nothing is sorted that isn't wanted.
class SitesOnPage {
  public:
    SitesOnPage(std::string page, std::string match, size_t limit)
        : page_(std::move(page)), match_(std::move(match)), limit_(limit) {}

    void add(std::string_view directory, bool follows_links) {
        if (directory.empty() || directory <= page_ || directory.find(match_) == directory.npos)
            return;
        if (sites_.size() > limit_ && directory >= sites_.rbegin()->directory) return;
        // The configuration's own say comes first: it allows links.
        sites_.insert({std::string(directory), follows_links});
        if (sites_.size() > limit_ + 1) sites_.erase(std::prev(sites_.end()));
    }

    struct Entry {
        std::string directory;
        bool follows_links;
        bool operator<(const Entry& other) const { return directory < other.directory; }
    };
    const std::set<Entry>& sites() const { return sites_; }

  private:
    std::string page_;
    std::string match_;
    size_t limit_;
    std::set<Entry> sites_;
};

// A message to main is bounded, a list in the configuration is not.
void add_list(Json& report, const char* key, const CidrList& list) {
    if (list.empty()) return;
    const size_t count = std::min(list.texts().size(), ListedMax);
    report[key] = std::vector<std::string>(list.texts().begin(),
                                           list.texts().begin() + static_cast<ptrdiff_t>(count));
    if (count < list.texts().size())
        report[std::string(key) + "_omitted"] = list.texts().size() - count;
}

Json route_report(const RouteConfiguration& route) {
    Json report = {{"route", route.key}, {"site", route.site_directory}, {"line", route.line}};
    if (route.options == nullptr) return report;
    const AccessLists& access = route.options->access;
    add_list(report, "allow", access.allow);
    add_list(report, "deny", access.deny);
    for (const AlpnRouteConfiguration& alpn : route.options->alpn)
        if (report["alpn"].size() < ListedMax)
            report["alpn"].push_back(
                {{"protocol", escaped(alpn.protocol)}, {"site", alpn.site_directory}});
    return report;
}

bool has_live_socket(const Json& port) {
    return std::ranges::any_of(port["sockets"],
                               [](const Json& socket) { return socket["state"] == "live"; });
}

// A client's address is not that of the connection then.
bool is_behind_balancer(const Configuration& configuration, std::string_view listener_address) {
    SocketAddress::Text text;
    for (const ListenerConfiguration& listener : configuration.listeners)
        for (const SocketAddress& address : listener.addresses)
            if (address.format(text) == listener_address) return !listener.proxy_protocol.is_off();
    return false;
}

// As Site has it: who listens on the other family only can't be given such a client.
void add_wrong_family(Json& report, sa_family_t family) {
    const char* const key = family == AF_INET6 ? "ipv6" : "ipv4";
    bool is_any_live = false;
    for (const Json& socket : report["sockets"]) {
        if (socket["state"] != "live") continue;
        const Json& listener = socket["server_listens_on"];
        if (!listener.is_object() || listener[key] == true) return;
        is_any_live = true;
    }
    if (!is_any_live) return;
    report["verdict"] = "rejected";
    report["reason"] = "site_wrong_family";
    report["steps"].push_back({{"rule", "site"},
                               {"key", report["site"]},
                               {"outcome", step_outcome_word(StepOutcome::Refuse)},
                               {"text", fmt::format("the servers there listen on {} only",
                                                    family == AF_INET6 ? "IPv4" : "IPv6")}});
}

bool is_listened_at(const Configuration& configuration, uint16_t port) {
    for (const ListenerConfiguration& listener : configuration.listeners)
        for (const SocketAddress& address : listener.addresses)
            if (address.port() == port) return true;
    return false;
}

bool matches(std::string_view match, std::string_view key, std::string_view site) {
    return match.empty() || key.find(match) != key.npos || site.find(match) != site.npos;
}

}  // namespace

void WorkerReports::report(const nlohmann::json& request) {
    id_ = count_in(request, "id", 0);
    const std::string what = text_in(request, "what");
    Json end = {{"done", true}};
    if (what == "sites")
        report_sites(request, end);
    else if (what == "sessions")
        report_sessions(request, end);
    else if (what == "routes")
        report_routes(request, end);
    else if (what == "explain")
        report_explanation(request);
    else
        end["error"] = "this worker has no such report";
    emit(std::move(end));
}

void WorkerReports::report_sites(const nlohmann::json& request, Json& end) {
    const bool looks = is_set(request, "looks");
    const size_t limit = limit_in(request);
    SitesOnPage page(text_in(request, "page"), text_in(request, "match"), limit);
    const Configuration& configuration = subjects_.configuration;
    if (looks) {
        for (const RouteConfiguration& route : configuration.routes) {
            page.add(route.site_directory, true);
            if (route.options == nullptr) continue;
            for (const AlpnRouteConfiguration& alpn : route.options->alpn)
                page.add(alpn.site_directory, true);
        }
        for (const AlpnRouteConfiguration& alpn : configuration.alpn)
            page.add(alpn.site_directory, true);
        for (const ListenerConfiguration& listener : configuration.listeners)
            page.add(listener.site, true);
    }
    const auto* const directory = subjects_.sites_directory;
    subjects_.sites.for_each([&](Site& site) {
        // A name in `sites` was a client's choice, and a link must not lead elsewhere from there.
        const bool is_own =
            directory != nullptr && site.directory().starts_with(directory->path() + "/");
        page.add(site.directory(), !is_own);
    });
    if (looks && directory != nullptr)
        directory->for_each(
            [&](const std::string& name) { page.add(directory->path() + "/" + name, false); });
    size_t count = 0;
    const SitesOnPage::Entry* last = nullptr;
    for (const SitesOnPage::Entry& site : page.sites()) {
        if (count++ == limit) {
            end["next"] = last->directory;
            break;
        }
        Json report = site_report(site.directory, looks, site.follows_links, subjects_.sites);
        for (Json& port : report["ports"])
            port["listened_at"] = is_listened_at(configuration, port["port"].get<uint16_t>());
        item(std::move(report));
        last = &site;
    }
    end["looked"] = looks ? 1 : 0;
}

void WorkerReports::report_sessions(const nlohmann::json& request, Json& end) {
    const size_t limit = limit_in(request);
    std::vector<const Session*> sessions;
    sessions.reserve(subjects_.sessions.size());
    subjects_.sessions.for_each([&](const Session& session) { sessions.push_back(&session); });
    const auto is_older = [](const Session* a, const Session* b) {
        return a->snapshot().accepted_at < b->snapshot().accepted_at;
    };
    const size_t count = std::min(limit, sessions.size());
    std::partial_sort(sessions.begin(), sessions.begin() + static_cast<ptrdiff_t>(count),
                      sessions.end(), is_older);
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < count; i++)
        item(session_report(sessions[i]->snapshot(), now));
    if (count < sessions.size()) end["omitted"] = sessions.size() - count;
}

// In the order of the file, then those that are there by a directory in `sites`. A page is where
// the one before it has ended: a number in the file, or "sites/NAME".
void WorkerReports::report_routes(const nlohmann::json& request, Json& end) {
    const size_t limit = limit_in(request);
    const std::string match = text_in(request, "match");
    const std::string page = text_in(request, "page");
    const Configuration& configuration = subjects_.configuration;
    const size_t routes_count = configuration.routes.size();
    size_t next = 0;
    if (page.starts_with(FromSites))
        next = routes_count;
    else
        std::from_chars(page.data(), page.data() + page.size(), next);
    if (page.empty()) report_other_routes(match);
    size_t count = 0;
    for (; next < routes_count; next++) {
        const RouteConfiguration& route = configuration.routes[next];
        if (!matches(match, route.key, route.site_directory)) continue;
        if (count++ == limit) {
            end["next"] = std::to_string(next);
            return;
        }
        item(route_report(route));
    }
    if (subjects_.sites_directory != nullptr)
        report_routes_in_sites(match, page.starts_with(FromSites) ? page : "", limit - count, end);
}

// A listener's own site and the `alpn` of all names; there are few of them.
void WorkerReports::report_other_routes(const std::string& match) {
    for (const ListenerConfiguration& listener : subjects_.configuration.listeners)
        if (!listener.site.empty() && matches(match, listener.address_text, listener.site))
            item({{"route", "listener"},
                  {"listener", listener.address_text},
                  {"site", listener.site},
                  {"line", nullptr}});
    for (const AlpnRouteConfiguration& alpn : subjects_.configuration.alpn)
        if (matches(match, alpn.protocol, alpn.site_directory))
            item({{"route", "alpn/" + escaped(alpn.protocol)},
                  {"site", alpn.site_directory},
                  {"line", alpn.line}});
}

void WorkerReports::report_routes_in_sites(const std::string& match, const std::string& page,
                                           size_t limit, Json& end) {
    const SitesDirectory& directory = *subjects_.sites_directory;
    SitesOnPage names(page, match, limit);
    directory.for_each(
        [&](const std::string& name) { names.add(std::string(FromSites).append(name), false); });
    std::string last = page.empty() ? std::string(FromSites) : page;
    size_t count = 0;
    for (const SitesOnPage::Entry& route : names.sites()) {
        if (count++ == limit) {
            end["next"] = last;
            return;
        }
        item({{"route", route.directory},
              {"site", directory.path() + "/" + route.directory.substr(FromSites.size())},
              {"line", nullptr}});
        last = route.directory;
    }
}

void WorkerReports::report_explanation(const nlohmann::json& request) {
    ExplainRequest asked;
    asked.name = text_in(request, "name");
    asked.port = static_cast<uint16_t>(count_in(request, "port", asked.port));
    asked.listener = text_in(request, "listener");
    asked.protocol = text_in(request, "protocol");
    asked.from = text_in(request, "from");
    if (const auto alpn = request.find("alpn"); alpn != request.end() && alpn->is_array())
        for (const nlohmann::json& protocol : *alpn)
            if (protocol.is_string()) asked.alpn.push_back(protocol.get<std::string>());
    const Explanation explanation = subjects_.explain(asked);
    Json steps = Json::array();
    for (const DecisionStep& step : explanation.steps)
        steps.push_back({{"rule", step.rule},
                         {"key", step.key},
                         {"outcome", step_outcome_word(step.outcome)},
                         {"text", step.text}});
    Json report = {{"verdict", explanation.is_rejected ? "rejected" : "handed_over"},
                   {"reason", explanation.reason},
                   {"listener", text_or_null(explanation.listener)},
                   {"route", text_or_null(explanation.route)},
                   {"site", text_or_null(explanation.site_directory)},
                   {"port", explanation.port},
                   {"steps", std::move(steps)}};
    if (!explanation.is_rejected) {
        const Json site = site_report(explanation.site_directory, true, explanation.follows_links,
                                      subjects_.sites);
        report["directory"] = site["directory"];
        report["sockets"] = Json::array();
        report["other_ports"] = Json::array();
        for (const Json& port : site["ports"])
            if (port["port"] == explanation.port)
                report.update(port);
            else if (has_live_socket(port))
                report["other_ports"].push_back(port["port"]);
        const auto from = SocketAddress::parse_host(asked.from, 0);
        if (from && !is_behind_balancer(subjects_.configuration, explanation.listener))
            add_wrong_family(report, from->family());
    }
    item(std::move(report));
}

void WorkerReports::item(Json object) {
    Json message;
    message["item"] = std::move(object);
    emit(std::move(message));
}

void WorkerReports::emit(Json message) {
    message["report"] = id_;
    sink_.emit(message);
}

}  // namespace proxyd
