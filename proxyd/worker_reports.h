// SPDX-License-Identifier: MIT
//
// WorkerReports: what a worker tells when proxyctl asks for its sites, sessions, routes, or why a
// client goes where it goes. Used by worker, for requests that come over its channel; main puts the
// reports of all workers together (report_collector). Each report is bounded, whatever is asked.
//
//     {"do":"report","what":"sites","id":7,"looks":true,"limit":100,...}   comes
//     {"report":7,"item":{...}} ... {"report":7,"done":true,...}           goes
#pragma once

#include "proxyd/configuration.h"
#include "proxyd/explanation.h"
#include "proxyd/session_table.h"
#include "proxyd/site_table.h"
#include "proxyd/sites_directory.h"

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace proxyd {

// What is reported on; it outlives the reports.
struct WorkerReportSubjects {
    const Configuration& configuration;
    const SitesDirectory* sites_directory;  // may be null
    const SiteTable& sites;
    SessionTable& sessions;
    std::function<Explanation(const ExplainRequest&)> explain;
};

class WorkerReports {
  public:
    class Sink {
      public:
        virtual void emit(const nlohmann::json& message) = 0;

      protected:
        ~Sink() = default;
    };

    WorkerReports(const WorkerReportSubjects& subjects, Sink& sink)
        : subjects_(subjects), sink_(sink) {}

    // A request of another kind, or one that is wrong, is answered by an end with "error".
    void report(const nlohmann::json& request);

  private:
    using Json = nlohmann::json;

    void report_sites(const nlohmann::json& request, Json& end);
    void report_sessions(const nlohmann::json& request, Json& end);
    void report_routes(const nlohmann::json& request, Json& end);
    void report_other_routes(const std::string& match);
    void report_routes_in_sites(const std::string& match, const std::string& page, size_t limit,
                                Json& end);
    void report_explanation(const nlohmann::json& request);

    void item(Json object);
    void emit(Json message);

    const WorkerReportSubjects subjects_;
    Sink& sink_;
    uint64_t id_ = 0;
};

// One site directory as `sites` shows it: what is in it, if it was looked at, and what this worker
// has of it (`table`).
nlohmann::json site_report(const std::string& directory, bool looks, bool follows_links,
                           const SiteTable& table);

}  // namespace proxyd
