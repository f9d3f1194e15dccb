// SPDX-License-Identifier: MIT
#include "proxyd/prometheus_text.h"

#include "tests/unit/catch.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <string>

using namespace proxyd;

namespace {

StatisticsSnapshot busy_snapshot() {
    const auto process = std::make_unique<ProcessStatistics>();
    process->accepted.add(12);
    process->count_session(Verdict::HandedOver, "exact_name", 9);
    process->count_session(Verdict::Rejected, "no_route", 2);
    process->enter(SessionState::AwaitingSite);
    process->count_accept_pause(AcceptPause::ProcessDescriptors);
    process->access_lines_lost.add(3);
    process->count_log_lines({1, 2, 3, 4, 5});
    process->add_timing(Timing::Hello, 19);
    process->add_timing(Timing::Hello, 60);
    process->add_timing(Timing::Hello, 61'000'000);
    StatisticsSnapshot snapshot;
    snapshot.add(*process);
    return snapshot;
}

ServiceState busy_service() {
    ServiceState service;
    service.version = "0.1.0";
    service.started_at = ServiceState::Time(std::chrono::milliseconds(1'795'217'812'625));
    service.configured_at = ServiceState::Time(std::chrono::seconds(1'795'217'900));
    service.workers_serving = 2;
    service.workers_draining = 1;
    service.worker_restarts = 4;
    service.reloads = {5, 6};
    service.upgrades = {7, 8};
    service.workers = {{21, 4096, 1.25}, {std::nullopt, 8192, std::nullopt}};
    return service;
}

bool has_line(const std::string& text, std::string_view line) {
    return ("\n" + text).find("\n" + std::string(line) + "\n") != std::string::npos;
}

// What promtool says of it; "" is fine.
std::string promtool_says(const std::string& text) {
    std::string path = "/tmp/proxyd-metrics-XXXXXX";
    const UniqueFd file = UniqueFd::adopt(mkstemp(path.data()));
    REQUIRE(write(file.borrow().number(), text.data(), text.size()) ==
            static_cast<ssize_t>(text.size()));
    const std::string command = "promtool check metrics --extended <" + path + " 2>&1 >/dev/null";
    FILE* const promtool = popen(command.c_str(), "r");
    REQUIRE(promtool != nullptr);
    std::string said(4096, '\0');
    said.resize(fread(said.data(), 1, said.size(), promtool));
    const int status = pclose(promtool);
    unlink(path.c_str());
    return status == 0 ? said : said + "(a failure)";
}

}  // namespace

TEST_CASE("prometheus_text: has every number", "[prometheus_text]") {
    const std::string text = prometheus_text(busy_snapshot(), busy_service());
    for (const char* line : {
             "# TYPE proxyd_sessions_total counter",
             "proxyd_accepted_connections_total 12",
             "proxyd_sessions_total{verdict=\"handed_over\",reason=\"exact_name\"} 9",
             "proxyd_sessions_total{verdict=\"rejected\",reason=\"no_route\"} 2",
             "proxyd_sessions{state=\"awaiting_hello\"} 0",
             "proxyd_sessions{state=\"awaiting_site\"} 1",
             "proxyd_accept_pauses_total{cause=\"process_descriptors\"} 1",
             "proxyd_access_log_lines_lost_total 3",
             "proxyd_log_lines_total{level=\"error\"} 1",
             "proxyd_log_lines_total{level=\"debug\"} 5",
             "proxyd_workers{state=\"serving\"} 2",
             "proxyd_workers{state=\"draining\"} 1",
             "proxyd_worker_restarts_total 4",
             "proxyd_worker_open_fds{worker=\"0\"} 21",
             "proxyd_worker_resident_memory_bytes{worker=\"1\"} 8192",
             "proxyd_worker_cpu_seconds_total{worker=\"0\"} 1.25",
             "proxyd_reloads_total{result=\"success\"} 5",
             "proxyd_reloads_total{result=\"failure\"} 6",
             "proxyd_upgrades_total{result=\"success\"} 7",
             "proxyd_upgrades_total{result=\"failure\"} 8",
             "proxyd_config_last_reload_successful 1",
             "proxyd_config_last_reload_success_timestamp_seconds 1795217900",
             "proxyd_build_info{version=\"0.1.0\"} 1",
             "process_start_time_seconds 1795217812.625",
         })
        CHECK(has_line(text, line));
    CHECK(text.find("worker_open_fds{worker=\"1\"}") == std::string::npos);
}

TEST_CASE("prometheus_text: buckets hold what is below them too", "[prometheus_text]") {
    const std::string text = prometheus_text(busy_snapshot(), busy_service());
    for (const char* line : {
             "# TYPE proxyd_hello_seconds histogram",
             "proxyd_hello_seconds_bucket{le=\"5e-05\"} 1",
             "proxyd_hello_seconds_bucket{le=\"0.0001\"} 2",
             "proxyd_hello_seconds_bucket{le=\"1\"} 2",
             "proxyd_hello_seconds_bucket{le=\"60\"} 2",
             "proxyd_hello_seconds_bucket{le=\"+Inf\"} 3",
             "proxyd_hello_seconds_sum 61.000079",
             "proxyd_hello_seconds_count 3",
             "proxyd_site_wait_seconds_count 0",
         })
        CHECK(has_line(text, line));
}

TEST_CASE("prometheus_text: a version can't break a line", "[prometheus_text]") {
    ServiceState service;
    service.version = "1\"\\";
    CHECK(has_line(prometheus_text({}, service), "proxyd_build_info{version=\"1\\\"\\\\\"} 1"));
}

TEST_CASE("prometheus_text: promtool finds nothing to say", "[prometheus_text]") {
    CHECK(promtool_says(prometheus_text(busy_snapshot(), busy_service())) == "");
    CHECK(promtool_says(prometheus_text({}, {})) == "");
    // It would have found something.
    CHECK(promtool_says("bad_name 1\n") != "");
}

TEST_CASE("prometheus_text: docs/METRICS.md has every metric with its type, and no other",
          "[prometheus_text]") {
    const std::string text = prometheus_text(busy_snapshot(), busy_service());
    std::set<std::string> here, in_document;
    for (size_t at = 0; (at = text.find("# TYPE ", at)) != text.npos; at++)
        here.insert(text.substr(at + 7, text.find('\n', at) - at - 7));

    std::ifstream file(std::string(PROJECT_DIRECTORY) + "/docs/METRICS.md");
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with("| `pro")) continue;
        const size_t name_end = line.find('`', 3), type = line.find("| ", name_end) + 2;
        in_document.insert(line.substr(3, name_end - 3) + " " +
                           line.substr(type, line.find(' ', type) - type));
    }
    CHECK(here == in_document);
}

TEST_CASE("prometheus_text: figures of a process", "[prometheus_text]") {
    const ProcessFigures own = process_figures(getpid());
    REQUIRE(own.open_descriptors);
    CHECK(*own.open_descriptors >= 3);
    REQUIRE(own.resident_bytes);
    CHECK(*own.resident_bytes > 1'000'000);
    REQUIRE(own.cpu_seconds);

    const ProcessFigures nobody = process_figures(1 << 30);
    CHECK_FALSE(nobody.open_descriptors);
    CHECK_FALSE(nobody.resident_bytes);
}
