// SPDX-License-Identifier: MIT
//
// An outcome of the hello parsers as one line of text, so that a test compares and prints it whole.
// Used by the unit tests and the replayed corpus.
#pragma once

#include "proxyd/hello.h"

#include <string>

namespace proxyd::test {

// "more", "name=blog.example.org alpn=h2,http/1.1 ech" ("name=-": none; alpn and ech only if
// there), or the reason, with the offending name if there is one: "name_too_long: aaa".
std::string text_of(const HelloOutcome& outcome);

}  // namespace proxyd::test
