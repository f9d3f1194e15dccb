// SPDX-License-Identifier: MIT
//
// service_status.h's text for Prometheus, in the exposition format 0.0.4.
#include "tcpshim/service_status.h"

#include <fmt/format.h>

#include <iterator>

namespace proxyd::shim {
namespace {

double seconds(uint64_t microseconds) {
    return static_cast<double>(microseconds) / 1e6;
}

double since_1970(std::chrono::system_clock::time_point time) {
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

std::string quoted(std::string_view value) {
    std::string out = "\"";
    for (const char c : value) {
        if (c == '\\' || c == '"') out += '\\';
        if (c == '\n')
            out += "\\n";
        else
            out += c;
    }
    return out + '"';
}

// Samples belong to the family that was begun last.
class Text {
  public:
    void begin(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        write("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
    }
    template <typename Number>
    void single(std::string_view name, std::string_view type, std::string_view help, Number value) {
        begin(name, type, help);
        write("{} {}\n", name, value);
    }
    // `labels` as in the text, without the braces.
    template <typename Number>
    void sample(std::string_view labels, Number value) {
        write("{}{{{}}} {}\n", name_, labels, value);
    }
    void histogram(std::string_view labels, const Histogram& histogram) {
        uint64_t count = 0;  // of this bucket and those below
        for (size_t i = 0; i < SharedHistogram::BoundsUs.size(); i++) {
            count += histogram.counts[i];
            write("{}_bucket{{{},le=\"{}\"}} {}\n", name_, labels,
                  seconds(SharedHistogram::BoundsUs[i]), count);
        }
        count += histogram.counts.back();
        write("{}_bucket{{{},le=\"+Inf\"}} {}\n", name_, labels, count);
        write("{}_sum{{{}}} {}\n{}_count{{{}}} {}\n", name_, labels, seconds(histogram.sum_us),
              name_, labels, count);
    }
    std::string take() { return std::move(out_); }

  private:
    template <typename... Arguments>
    void write(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Arguments>(arguments)...);
    }

    std::string out_;
    std::string_view name_;
};

std::string of_site(const std::string& site) {
    return "site=" + quoted(site);
}

void add_service(Text& text, const ServiceStatus& status, const StatisticsTotals& totals) {
    text.begin("tcpshim_info", "gauge", "1, with the version as a label.");
    text.sample("version=" + quoted(PROXYD_VERSION), 1);
    text.single("tcpshim_start_time_seconds", "gauge", "When tcpshim was started, since 1970.",
                since_1970(status.started_at));
    text.single("tcpshim_configuration_time_seconds", "gauge",
                "When the configuration in force was put in force, since 1970.",
                since_1970(status.configured_at));
    text.single("tcpshim_worker_restarts_total", "counter",
                "Workers that were started because one had ended unexpectedly.", status.restarts);
    text.begin("tcpshim_reloads_total", "counter", "Reloads, by how they went.");
    text.sample("result=\"success\"", status.reloads);
    text.sample("result=\"failure\"", status.failed_reloads);
    text.single("tcpshim_access_lines_lost_total", "counter",
                "Access lines that could not be written.", totals.access_lines_lost);
}

template <typename Value>
void add_of_sites(Text& text, const StatisticsTotals& totals, std::string_view name,
                  std::string_view type, std::string_view help, Value&& value) {
    text.begin(name, type, help);
    for (const auto& [site, counted] : totals.sites)
        text.sample(of_site(site), value(counted));
}

void add_endings(Text& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_ended_connections_total", "counter",
               "Connections that have ended, by how: the ending of the access log.");
    for (const auto& [site, counted] : totals.sites)
        for (size_t i = 0; i < EndingCount; i++)
            text.sample(fmt::format("{},ending={}", of_site(site),
                                    quoted(ending_word(static_cast<Ending>(i)))),
                        counted.endings[i]);
    text.begin("tcpshim_unserved_connections_total", "counter",
               "Clients that got no backend, by the cause of the access log.");
    for (const auto& [site, counted] : totals.sites)
        for (size_t i = 0; i < ConnectFailureCount; i++)
            text.sample(fmt::format("{},cause={}", of_site(site),
                                    quoted(connect_failure_word(static_cast<ConnectFailure>(i)))),
                        counted.unserved[i]);
}

void add_bytes(Text& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_relayed_bytes_total", "counter",
               "Bytes of connections that have ended, by where they went.");
    for (const auto& [site, counted] : totals.sites) {
        text.sample(of_site(site) + ",to=\"backend\"", counted.bytes_to_backend);
        text.sample(of_site(site) + ",to=\"client\"", counted.bytes_to_client);
    }
}

void add_timings(Text& text, const StatisticsTotals& totals) {
    struct Family {
        std::string_view name, help;
    };
    constexpr std::array<Family, TimingCount> Families = {{
        {"tcpshim_connect_seconds", "From the handoff to the connection with a backend."},
        {"tcpshim_first_byte_seconds", "From the handoff to the backend's first byte."},
        {"tcpshim_connection_seconds", "From the handoff to the connection's end."},
    }};
    for (size_t i = 0; i < TimingCount; i++) {
        text.begin(Families[i].name, "histogram", Families[i].help);
        for (const auto& [site, counted] : totals.sites)
            text.histogram(of_site(site), counted.timings[i]);
    }
}

template <typename Value>
void add_of_backends(Text& text, const StatisticsTotals& totals, std::string_view name,
                     std::string_view type, std::string_view help, Value&& value) {
    text.begin(name, type, help);
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            text.sample(of_site(site) + ",backend=" + quoted(backend), value(figures));
}

void add_backends(Text& text, const StatisticsTotals& totals) {
    text.begin("tcpshim_backend_up", "gauge", "Whether a backend is up; those in force alone.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            if (figures.is_current)
                text.sample(of_site(site) + ",backend=" + quoted(backend),
                            figures.state == BackendState::Up ? 1 : 0);
    add_of_backends(text, totals, "tcpshim_backend_connections", "gauge",
                    "Connections at the moment.", [](const auto& each) { return each.active; });
    add_of_backends(text, totals, "tcpshim_backend_connections_total", "counter",
                    "Connections that have ended.",
                    [](const auto& each) { return each.connections; });
    add_of_backends(text, totals, "tcpshim_backend_answered_total", "counter",
                    "Clients that got a byte from it.",
                    [](const auto& each) { return each.answered; });
    text.begin("tcpshim_backend_failures_total", "counter",
               "Clients that it failed, who may have got another one, by cause.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends)
            for (size_t i = 0; i < ConnectFailureCount; i++)
                text.sample(
                    fmt::format("{},backend={},cause={}", of_site(site), quoted(backend),
                                quoted(connect_failure_word(static_cast<ConnectFailure>(i)))),
                    figures.failed[i]);
    text.begin("tcpshim_backend_checks_total", "counter", "Active checks, by what they found.");
    for (const auto& [site, counted] : totals.sites)
        for (const auto& [backend, figures] : counted.backends) {
            const std::string labels = of_site(site) + ",backend=" + quoted(backend);
            text.sample(labels + ",result=\"good\"", figures.checks_good);
            text.sample(labels + ",result=\"bad\"", figures.checks_bad);
        }
}

}  // namespace

std::string prometheus_text(const ServiceStatus& status, const StatisticsTotals& totals) {
    Text text;
    add_service(text, status, totals);
    add_of_sites(text, totals, "tcpshim_accepted_connections_total", "counter",
                 "Clients that were taken from proxyd.",
                 [](const auto& site) { return site.accepted; });
    add_of_sites(text, totals, "tcpshim_connections", "gauge", "Connections at the moment.",
                 [](const auto& site) { return site.active; });
    add_of_sites(text, totals, "tcpshim_retries_total", "counter",
                 "Backends that were tried after another one had failed.",
                 [](const auto& site) { return site.retried; });
    add_endings(text, totals);
    add_bytes(text, totals);
    add_timings(text, totals);
    add_backends(text, totals);
    return text.take();
}

}  // namespace proxyd::shim
