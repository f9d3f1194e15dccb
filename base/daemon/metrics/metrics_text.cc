// SPDX-License-Identifier: MIT
#include "base/daemon/metrics/metrics_text.h"

#include <dirent.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>

namespace proxyd {
namespace {

double seconds(uint64_t microseconds) {
    return static_cast<double>(microseconds) / 1e6;
}

}  // namespace

void MetricsText::begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    write("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void MetricsText::histogram(std::string_view name, std::string_view help,
                            const Histogram& histogram) {
    begin(name, "histogram", help);
    this->histogram({}, histogram);
}

void MetricsText::histogram(std::initializer_list<Label> labels, const Histogram& histogram) {
    uint64_t count = 0;  // of this bucket and those below
    for (size_t i = 0; i < SharedHistogram::BucketCount; i++) {
        count += histogram.counts[i];
        write("{}_bucket{{", name_);
        add_label_list(labels);
        const bool is_last = i == SharedHistogram::BoundsUs.size();
        write("{}le=\"{}\"}} {}\n", labels.size() > 0 ? "," : "",
              is_last ? "+Inf" : fmt::format("{}", seconds(SharedHistogram::BoundsUs[i])), count);
    }
    write("{}_sum", name_);
    add_labels(labels);
    write(" {}\n{}_count", seconds(histogram.sum_us), name_);
    add_labels(labels);
    write(" {}\n", count);
}

void MetricsText::add_labels(std::initializer_list<Label> labels) {
    if (labels.size() == 0) return;
    out_ += '{';
    add_label_list(labels);
    out_ += '}';
}

void MetricsText::add_label_list(std::initializer_list<Label> labels) {
    std::string_view separator;
    for (const Label& label : labels) {
        write("{}{}=\"", separator, label.name);
        for (const char c : label.value) {
            if (c == '\\' || c == '"' || c == '\n') out_ += '\\';
            out_ += c == '\n' ? 'n' : c;
        }
        out_ += '"';
        separator = ",";
    }
}

ProcessFigures process_figures(pid_t process) {
    ProcessFigures figures;
    if (DIR* const descriptors = opendir(fmt::format("/proc/{}/fd", process).c_str())) {
        uint64_t entries = 0;
        while (readdir(descriptors) != nullptr)
            entries++;
        closedir(descriptors);
        figures.open_descriptors = entries - 2;  // "." and ".."
    }
    const std::unique_ptr<FILE, int (*)(FILE*)> file(
        fopen(fmt::format("/proc/{}/stat", process).c_str(), "re"), fclose);
    std::array<char, 1024> line{};
    if (file == nullptr || fgets(line.data(), line.size(), file.get()) == nullptr) return figures;
    // Fields are counted from the end of the name, which may hold anything (proc(5)).
    const std::string_view text(line.data());
    const size_t name_end = text.rfind(')');
    unsigned long user = 0, system = 0, pages = 0;
    if (name_end == text.npos ||
        sscanf(line.data() + name_end + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u "
               "%*u %lu",
               &user, &system, &pages) != 3)
        return figures;
    figures.cpu_seconds =
        static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
    figures.resident_bytes = pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    return figures;
}

}  // namespace proxyd
