// SPDX-License-Identifier: MIT
#include "base/relay/configuration_file.h"
#include "tcpshim/service_status.h"
#include "tcpshim/statistics.h"
#include "tests/unit/catch.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

using namespace proxyd::shim;

namespace {

Configuration configuration_of(std::string_view text) {
    auto read = parse_configuration(text, "t.json");
    REQUIRE(read.has_value());
    return *std::move(read);
}

constexpr std::string_view TwoSites =
    R"({"sites": {"/s/a": ["a:1", "b:1"], "/s/b": "srv:_x._tcp.c"}})";

}  // namespace

TEST_CASE("tcpshim's statistics: each backend has a slot, and services some more",
          "[tcpshim_statistics]") {
    const Configuration configuration = configuration_of(TwoSites);
    const auto worker = WorkerStatistics::create(configuration);

    REQUIRE(worker.has_value());
    CHECK((*worker)->site_count() == 2);
    CHECK((*worker)->backends_of(0).size() == 2);
    CHECK((*worker)->backends_of(1).size() == 1 + WorkerStatistics::SlotsForServices);
    CHECK((*worker)->site(1).accepted.read() == 0);
    CHECK((*worker)->backends_of(1).back().text.read().empty());
}

TEST_CASE(
    "tcpshim's statistics: what an ended worker has counted stays, what it had in hand "
    "doesn't",
    "[tcpshim_statistics]") {
    const Configuration configuration = configuration_of(TwoSites);
    const auto ended = WorkerStatistics::create(configuration);
    const auto serving = WorkerStatistics::create(configuration);
    REQUIRE((ended.has_value() && serving.has_value()));
    for (const auto& worker : {ended->get(), serving->get()}) {
        worker->site(0).accepted.add(3);
        worker->site(0).active.add(1);
        worker->site(0).timings[0].add(70);
        BackendStatistics& backend = worker->backends_of(0)[0];
        backend.text.write("a:1");
        backend.connections.add(2);
        backend.active.add(1);
        backend.state.add(static_cast<uint64_t>(BackendState::Down));
        backend.cause.write("refused");
    }

    StatisticsTotals totals;
    totals.add(configuration, **ended, StatisticsTotals::Of::Ended);
    CHECK(!totals.sites["a"].backends["a:1"].is_current);
    CHECK(backends_json(totals, "").empty());
    totals.add(configuration, **serving, StatisticsTotals::Of::Serving);

    const SiteTotals& site = totals.sites["a"];
    CHECK(site.accepted == 6);
    CHECK(site.active == 1);
    CHECK(site.endings[static_cast<size_t>(Ending::WorkerDied)] == 1);
    CHECK(site.timings[0].counts[1] == 2);
    const BackendTotals& backend = site.backends.at("a:1");
    CHECK(backend.connections == 4);
    CHECK(backend.active == 1);
    CHECK(backend.state == BackendState::Down);
    CHECK(backend.cause == "refused");
    CHECK(backends_json(totals, "").size() == 1);
    CHECK(backends_json(totals, "other").empty());
}

TEST_CASE("tcpshim's statistics: main believes no state that there isn't", "[tcpshim_statistics]") {
    const Configuration configuration = configuration_of(TwoSites);
    const auto worker = WorkerStatistics::create(configuration);
    REQUIRE(worker.has_value());
    (*worker)->backends_of(0)[0].text.write("a:1");
    (*worker)->backends_of(0)[0].state.add(99);

    StatisticsTotals totals;
    totals.add(configuration, **worker, StatisticsTotals::Of::Serving);

    CHECK(totals.sites["a"].backends["a:1"].state == BackendState::Up);
}

TEST_CASE("tcpshim's statistics: as Prometheus text, with names escaped", "[tcpshim_statistics]") {
    const Configuration configuration = configuration_of(R"({"sites": {"/s/\"a": "unix:/x"}})");
    const auto worker = WorkerStatistics::create(configuration);
    REQUIRE(worker.has_value());
    (*worker)->site(0).endings[static_cast<size_t>(Ending::BackendReset)].add(2);
    (*worker)->site(0).timings[static_cast<size_t>(Timing::Connect)].add(60'000'001);
    (*worker)->backends_of(0)[0].text.write("unix:/x");
    StatisticsTotals totals;
    totals.add(configuration, **worker, StatisticsTotals::Of::Serving);
    ServiceStatus status;
    status.configuration = &configuration;

    const std::string text = prometheus_text(status, totals);

    CHECK(
        text.find("tcpshim_ended_connections_total{site=\"\\\"a\",ending=\"backend_reset\"} 2\n") !=
        std::string::npos);
    CHECK(text.find("tcpshim_connect_seconds_bucket{site=\"\\\"a\",le=\"60\"} 0\n") !=
          std::string::npos);
    CHECK(text.find("tcpshim_connect_seconds_bucket{site=\"\\\"a\",le=\"+Inf\"} 1\n") !=
          std::string::npos);
    CHECK(text.find("tcpshim_connect_seconds_sum{site=\"\\\"a\"} 60.000001\n") !=
          std::string::npos);
    CHECK(text.find("tcpshim_backend_up{site=\"\\\"a\",backend=\"unix:/x\"} 1\n") !=
          std::string::npos);
    CHECK(std::ranges::count(text, '\n') > 100);
}
