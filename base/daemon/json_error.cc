// SPDX-License-Identifier: MIT
#include "base/daemon/json_error.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// Counts the line ends that the parser has read. nlohmann_json 3.11 knows no positions.
struct LineCounter {
    int line = 1;
    bool last_was_line_end = false;
};

class CountingIterator {
  public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, LineCounter* counter) : at_(at), counter_(counter) {}
    reference operator*() const { return *at_; }
    CountingIterator& operator++() {
        counter_->last_was_line_end = *at_ == '\n';
        if (*at_ == '\n') counter_->line++;
        ++at_;
        return *this;
    }
    friend bool operator!=(const CountingIterator& a, const CountingIterator& b) {
        return a.at_ != b.at_;
    }

  private:
    const char* at_;
    LineCounter* counter_;
};

// Takes the parser's events (nlohmann's SAX interface) for the error alone.
class ErrorTaker {
  public:
    explicit ErrorTaker(const LineCounter& counter) : counter_(counter) {}

    bool null() { return true; }
    bool boolean(bool) { return true; }
    bool number_integer(int64_t) { return true; }
    bool number_unsigned(uint64_t) { return true; }
    bool number_float(double, const std::string&) { return true; }
    bool string(std::string&) { return true; }
    bool binary(std::vector<uint8_t>&) { return true; }
    bool start_object(size_t) { return true; }
    bool start_array(size_t) { return true; }
    bool end_object() { return true; }
    bool end_array() { return true; }
    bool key(std::string&) { return true; }

    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& reason) {
        // "[json.exception.parse_error.101] parse error at line 3, column 5: what - more"
        std::string_view what = reason.what();
        if (const size_t colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
        // The line end that was read last is part of what the parser gave up at, or is the
        // character beyond it.
        error_ = {counter_.line - (counter_.last_was_line_end ? 1 : 0), std::string(what)};
        return false;
    }
    JsonError take_error() { return std::move(error_); }

  private:
    const LineCounter& counter_;
    JsonError error_;
};

}  // namespace

JsonError json_error_of(std::string_view text) {
    // nlohmann_json takes it for the end.
    if (const size_t nul = text.find('\0'); nul != text.npos)
        return {1 + static_cast<int>(std::count(text.data(), text.data() + nul, '\n')),
                "has a NUL byte in it"};
    LineCounter counter;
    ErrorTaker taker(counter);
    const CountingIterator begin(text.data(), &counter);
    const CountingIterator end(text.data() + text.size(), &counter);
    const bool strict = true, ignore_comments = true;
    if (nlohmann::json::sax_parse(begin, end, &taker, nlohmann::json::input_format_t::json, strict,
                                  ignore_comments))
        return {counter.line, "cannot be read"};  // a difference between the two parsers: a bug
    return taker.take_error();
}

}  // namespace proxyd
