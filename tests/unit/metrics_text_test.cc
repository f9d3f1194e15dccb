// SPDX-License-Identifier: MIT
#include "base/daemon/metrics/metrics_text.h"

#include "tests/unit/catch.h"

#include <string>

using namespace proxyd;

TEST_CASE("metrics text: samples belong to their family", "[metrics_text]") {
    MetricsText text;
    text.single("a_total", "counter", "All of them.", 3);
    text.begin("b", "gauge", "Some of them.");
    text.sample({{"kind", "x"}, {"other", "y\"\\\n"}}, 1);
    text.sample({{"kind", "z"}}, 0.5);
    CHECK(text.take() ==
          "# HELP a_total All of them.\n# TYPE a_total counter\na_total 3\n"
          "# HELP b Some of them.\n# TYPE b gauge\n"
          "b{kind=\"x\",other=\"y\\\"\\\\\\n\"} 1\nb{kind=\"z\"} 0.5\n");
}

TEST_CASE("metrics text: buckets of a histogram are summed up", "[metrics_text]") {
    SharedHistogram shared;
    shared.add(40);
    shared.add(60);
    shared.add(70'000'000);
    Histogram histogram;
    histogram.add(shared);
    MetricsText text;
    text.histogram("h_seconds", "How long.", histogram);
    const std::string out = text.take();
    CHECK(
        out.starts_with("# HELP h_seconds How long.\n# TYPE h_seconds histogram\n"
                        "h_seconds_bucket{le=\"5e-05\"} 1\nh_seconds_bucket{le=\"0.0001\"} 2\n"));
    CHECK(
        out.ends_with("h_seconds_bucket{le=\"60\"} 2\nh_seconds_bucket{le=\"+Inf\"} 3\n"
                      "h_seconds_sum 70.0001\nh_seconds_count 3\n"));
}
