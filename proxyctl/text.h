// SPDX-License-Identifier: MIT
//
// How proxyctl shows things on a terminal: aligned columns, durations for people, and nothing that
// the terminal could take for a command. Pure functions.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd {

// "340ms", "3.2s", "2m05s", "3h12m", "4d07h".
std::string duration_text(uint64_t milliseconds);

// Bytes that are not printable ASCII as \xNN.
std::string printable_text(std::string_view raw);

// A field of an object for people: strings as printable_text, numbers as they are, "-" for null,
// "", and what isn't there.
std::string shown(const nlohmann::ordered_json& object, const char* key);
// The field if it is a string, a number or a boolean; else "", 0, false.
std::string text_at(const nlohmann::ordered_json& object, const char* key);
uint64_t number_at(const nlohmann::ordered_json& object, const char* key);
bool flag_at(const nlohmann::ordered_json& object, const char* key);
// The elements that are objects; none if it isn't an array.
std::vector<nlohmann::ordered_json> objects_at(const nlohmann::ordered_json& object,
                                               const char* key);

// The name in the user database, or the number if it has none.
std::string user_name(uid_t number);
std::string group_name(gid_t number);

class Table {
  public:
    // A header that begins with ">" stands for a column of numbers.
    explicit Table(std::vector<std::string> headers);
    void add(std::vector<std::string> cells);
    bool empty() const { return rows_.empty(); }
    // Lines without blanks at their ends.
    std::string text() const;

  private:
    std::vector<std::string> headers_;
    std::vector<bool> is_number_;
    std::vector<std::vector<std::string>> rows_;
};

}  // namespace proxyd
