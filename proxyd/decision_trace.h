// SPDX-License-Identifier: MIT
//
// DecisionTrace: every rule that a decision has tried, in order, with what came of it: what
// `proxyctl explain` shows. A null pointer to one, as sessions give it, costs nothing.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

enum class StepOutcome {
    Match,    // this is the route, until a later rule replaces it
    NoMatch,  // the next rule is asked
    Pass,     // a check that holds
    Refuse,   // a check that doesn't hold: the client is rejected
    Skip,     // was not asked, for the reason in the text
};

// "match", "no_match", "pass", "refuse", "skip".
std::string_view step_outcome_word(StepOutcome outcome);

struct DecisionStep {
    std::string rule;  // a word, of the access log where it has one: "exact_name", "route_deny"...
    std::string key;   // what was looked for: "*.example.org", "192.0.2.7"
    StepOutcome outcome = StepOutcome::NoMatch;
    std::string text;  // a sentence for people
};

class DecisionTrace {
  public:
    template <typename... Arguments>
    void add(std::string_view rule, std::string_view key, StepOutcome outcome,
             fmt::format_string<Arguments...> format, Arguments&&... arguments) {
        steps_.push_back({std::string(rule), std::string(key), outcome,
                          fmt::format(format, std::forward<Arguments>(arguments)...)});
    }
    const std::vector<DecisionStep>& steps() const { return steps_; }
    std::vector<DecisionStep> take_steps() { return std::move(steps_); }

  private:
    std::vector<DecisionStep> steps_;
};

}  // namespace proxyd
