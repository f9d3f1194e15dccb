// SPDX-License-Identifier: MIT
//
// The corpus of real hellos and requests, with what each must give (expected.txt in its folder).
#include "proxyd/hello.h"
#include "tests/support/client_hello_builder.h"
#include "tests/support/hello_text.h"
#include "tests/unit/catch.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace proxyd {
namespace {

const std::filesystem::path Corpus = TEST_CORPUS_DIRECTORY;

test::Buffer content_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    REQUIRE(file);
    std::ostringstream content;
    content << file.rdbuf();
    return test::bytes_of(content.str());
}

// Lines "file.bin outcome", comments begin with "#".
std::map<std::string, std::string> expectations_of(const std::filesystem::path& folder) {
    std::map<std::string, std::string> expected;
    std::ifstream file(folder / "expected.txt");
    for (std::string line; std::getline(file, line);) {
        const size_t space = line.find(' ');
        if (!line.starts_with('#') && space != line.npos)
            expected[line.substr(0, space)] = line.substr(space + 1);
    }
    return expected;
}

std::map<std::string, std::string> outcomes_of(const std::filesystem::path& folder,
                                               HelloOutcome (*parse)(Bytes)) {
    std::map<std::string, std::string> outcomes;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
        if (file.path().extension() == ".bin")
            outcomes[file.path().filename()] = test::text_of(parse(content_of(file.path())));
    }
    return outcomes;
}

TEST_CASE("every ClientHello of the corpus gives what is expected", "[corpus]") {
    const auto outcomes = outcomes_of(Corpus / "client_hello", parse_client_hello);
    CHECK(outcomes.size() > 20);
    CHECK(outcomes == expectations_of(Corpus / "client_hello"));
}

TEST_CASE("every request head of the corpus gives what is expected", "[corpus]") {
    const auto outcomes = outcomes_of(Corpus / "http_request_head", parse_http_request_head);
    CHECK(outcomes.size() > 10);
    CHECK(outcomes == expectations_of(Corpus / "http_request_head"));
}

TEST_CASE("every HTTP/2 request of the corpus gives what is expected", "[corpus]") {
    const auto outcomes = outcomes_of(Corpus / "http2_request_head", parse_http2_request_head);
    CHECK(outcomes.size() > 8);
    CHECK(outcomes == expectations_of(Corpus / "http2_request_head"));
}

}  // namespace
}  // namespace proxyd
