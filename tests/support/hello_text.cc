// SPDX-License-Identifier: MIT
#include "tests/support/hello_text.h"

namespace proxyd::test {
namespace {

std::string text_of_hello(const Hello& hello) {
    std::string text = "name=";
    text += hello.name ? hello.name->view() : "-";
    if (!hello.alpn.is_empty()) {
        text += " alpn=";
        hello.alpn.append_to(text);
    }
    if (hello.has_ech) text += " ech";
    return text;
}

}  // namespace

std::string text_of(const HelloOutcome& outcome) {
    if (std::holds_alternative<NeedMore>(outcome)) return "more";
    if (const auto* hello = std::get_if<Hello>(&outcome)) return text_of_hello(*hello);
    const auto& malformed = std::get<Malformed>(outcome);
    std::string text(malformed.reason);
    if (!malformed.offending.empty()) text += ": " + malformed.offending;
    return text;
}

}  // namespace proxyd::test
