// SPDX-License-Identifier: MIT
#include "base/daemon/json.h"

#include <fmt/format.h>

#include <cassert>
#include <iterator>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

// Counts the line ends that the parser has read. The parser reads one character beyond a number,
// and no further than the last character of anything else; so the line of a token is the count,
// less one if the token is a number and the last character read was a line end.
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

// A value is destroyed by recursion, and nobody nests as deep.
constexpr size_t DepthMax = 64;

// Builds the document from the parser's events (nlohmann's SAX interface).
class Builder {
  public:
    explicit Builder(const LineCounter& counter) : counter_(counter) {}

    bool null() { return add(nullptr, line()); }
    bool boolean(bool value) { return add(value, line()); }
    bool number_integer(int64_t value) { return add(value, number_line()); }
    bool number_unsigned(uint64_t value) {
        if (value > INT64_MAX) return add(static_cast<double>(value), number_line());
        return add(static_cast<int64_t>(value), number_line());
    }
    bool number_float(double value, const std::string&) { return add(value, number_line()); }
    bool string(std::string& value) { return add(std::move(value), line()); }
    bool binary(std::vector<uint8_t>&) { return false; }  // no such thing in JSON text

    bool start_object(size_t) { return open(JsonValue::Object{}); }
    bool start_array(size_t) { return open(JsonValue::Array{}); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(std::string& key) {
        std::get<JsonValue::Object>(open_.back().value)
            .push_back({std::move(key), line(), JsonValue{}});
        return true;
    }

    bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& reason) {
        // "[json.exception.parse_error.101] parse error at line 3, column 5: what - more"
        std::string_view what = reason.what();
        if (const size_t colon = what.find(": "); colon != what.npos) what.remove_prefix(colon + 2);
        error_ = {number_line(), std::string(what)};
        return false;
    }

    JsonValue take_root() { return std::move(root_); }
    JsonError take_error() { return std::move(error_); }

  private:
    int line() const { return counter_.line; }
    // Also of a token that the parser gave up at: the line end it has read last is part of it, or
    // the character beyond it.
    int number_line() const { return counter_.line - (counter_.last_was_line_end ? 1 : 0); }

    template <typename T>
    bool add(T value, int at_line) {
        place({std::move(value), at_line});
        return true;
    }
    template <typename Container>
    bool open(Container container) {
        if (open_.size() == DepthMax) {
            error_ = {line(), fmt::format("nested deeper than {}", DepthMax)};
            return false;
        }
        open_.push_back({std::move(container), line()});
        return true;
    }
    bool close() {
        JsonValue done = std::move(open_.back());
        open_.pop_back();
        place(std::move(done));
        return true;
    }
    void place(JsonValue value) {
        if (open_.empty()) {
            root_ = std::move(value);
        } else if (auto* array = std::get_if<JsonValue::Array>(&open_.back().value)) {
            array->push_back(std::move(value));
        } else {
            std::get<JsonValue::Object>(open_.back().value).back().value = std::move(value);
        }
    }

    const LineCounter& counter_;
    std::vector<JsonValue> open_;  // the containers around the next value, outermost first
    JsonValue root_;
    JsonError error_;
};

}  // namespace

std::string_view JsonValue::type_words() const {
    struct Words {
        std::string_view operator()(std::nullptr_t) { return "null"; }
        std::string_view operator()(bool) { return "a boolean"; }
        std::string_view operator()(int64_t) { return "a number"; }
        std::string_view operator()(double) { return "a number"; }
        std::string_view operator()(const std::string&) { return "a string"; }
        std::string_view operator()(const Array&) { return "an array"; }
        std::string_view operator()(const Object&) { return "an object"; }
    };
    return std::visit(Words{}, value);
}

Result<JsonValue, JsonError> parse_json(std::string_view text) {
    LineCounter counter;
    Builder builder(counter);
    const CountingIterator begin(text.data(), &counter);
    const CountingIterator end(text.data() + text.size(), &counter);
    const bool strict = true, ignore_comments = true;
    if (!nlohmann::json::sax_parse(begin, end, &builder, nlohmann::json::input_format_t::json,
                                   strict, ignore_comments))
        return Unexpected{builder.take_error()};
    return builder.take_root();
}

}  // namespace proxyd
