// SPDX-License-Identifier: MIT
#include "proxyd/decision_trace.h"

namespace proxyd {

std::string_view step_outcome_word(StepOutcome outcome) {
    switch (outcome) {
        case StepOutcome::Match:
            return "match";
        case StepOutcome::NoMatch:
            return "no_match";
        case StepOutcome::Pass:
            return "pass";
        case StepOutcome::Refuse:
            return "refuse";
        case StepOutcome::Skip:
            return "skip";
    }
    return "?";
}

}  // namespace proxyd
