// SPDX-License-Identifier: MIT
//
// MetricsText: what Prometheus reads, the text exposition format 0.0.4, made one family of samples
// after the other; and the figures of a process that every daemon tells. Used where a daemon tells
// its metrics; it knows none itself.
#pragma once

#include "base/daemon/metrics/shared_number.h"

#include <fmt/format.h>
#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace proxyd {

inline constexpr std::string_view PrometheusContentType =
    "text/plain; version=0.0.4; charset=utf-8";

class MetricsText {
  public:
    struct Label {
        std::string_view name;
        std::string_view value;  // without newlines
    };

    // Samples belong to the family that was begun last; `name` must live as long as it does. The
    // type is "counter" or "gauge".
    void begin(std::string_view name, std::string_view type, std::string_view help);

    template <typename Number>
    void sample(Number value) {
        write("{} {}\n", name_, value);
    }

    template <typename Number>
    void sample(std::initializer_list<Label> labels, Number value) {
        out_ += name_;
        add_labels(labels);
        write(" {}\n", value);
    }

    // A family of one sample.
    template <typename Number>
    void single(std::string_view name, std::string_view type, std::string_view help, Number value) {
        begin(name, type, help);
        sample(value);
    }

    // A family of its own, in seconds.
    void histogram(std::string_view name, std::string_view help, const Histogram& histogram);

    // With labels, of the family that was begun last (with the type "histogram").
    void histogram(std::initializer_list<Label> labels, const Histogram& histogram);

    std::string take() { return std::move(out_); }

  private:
    template <typename... Arguments>
    void write(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        fmt::format_to(std::back_inserter(out_), format, std::forward<Arguments>(arguments)...);
    }
    void add_labels(std::initializer_list<Label> labels);
    void add_label_list(std::initializer_list<Label> labels);  // without braces

    std::string out_;
    std::string_view name_;
};

// What can be read of a process in /proc, as far as that is permitted.
struct ProcessFigures {
    std::optional<uint64_t> open_descriptors;
    std::optional<uint64_t> resident_bytes;
    std::optional<double> cpu_seconds;
};
ProcessFigures process_figures(pid_t process);

}  // namespace proxyd
