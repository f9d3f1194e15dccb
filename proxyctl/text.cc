// SPDX-License-Identifier: MIT
#include "proxyctl/text.h"

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <iterator>

namespace proxyd {
namespace {

using Json = nlohmann::ordered_json;

bool is_plain(char c) {
    return c >= ' ' && c <= '~';
}

}  // namespace

std::string duration_text(uint64_t milliseconds) {
    const uint64_t seconds = milliseconds / 1000, minutes = seconds / 60, hours = minutes / 60;
    if (milliseconds < 1000) return fmt::format("{}ms", milliseconds);
    if (seconds < 60) return fmt::format("{}.{}s", seconds, milliseconds % 1000 / 100);
    if (minutes < 60) return fmt::format("{}m{:02}s", minutes, seconds % 60);
    if (hours < 24) return fmt::format("{}h{:02}m", hours, minutes % 60);
    return fmt::format("{}d{:02}h", hours / 24, hours % 24);
}

std::string printable_text(std::string_view raw) {
    std::string text;
    for (const char c : raw) {
        if (is_plain(c))
            text += c;
        else
            fmt::format_to(std::back_inserter(text), "\\x{:02x}", static_cast<unsigned char>(c));
    }
    return text;
}

std::string shown(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return "-";
    if (found->is_string()) {
        const std::string text = printable_text(found->get_ref<const std::string&>());
        return text.empty() ? "-" : text;
    }
    if (found->is_boolean()) return found->get<bool>() ? "yes" : "no";
    if (found->is_number_integer()) return found->dump();
    return printable_text(found->dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string text_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string()
               ? printable_text(found->get_ref<const std::string&>())
               : std::string();
}

uint64_t number_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

bool flag_at(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_boolean() && found->get<bool>();
}

std::vector<Json> objects_at(const Json& object, const char* key) {
    std::vector<Json> objects;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return objects;
    std::ranges::copy_if(found->get_ref<const Json::array_t&>(), std::back_inserter(objects),
                         [](const Json& element) { return element.is_object(); });
    return objects;
}

std::string user_name(uid_t number) {
    const passwd* const user = getpwuid(number);
    return user != nullptr ? user->pw_name : fmt::format("{}", number);
}

std::string group_name(gid_t number) {
    const group* const found = getgrgid(number);
    return found != nullptr ? found->gr_name : fmt::format("{}", number);
}

Table::Table(std::vector<std::string> headers) {
    for (std::string& header : headers) {
        is_number_.push_back(header.starts_with('>'));
        headers_.push_back(is_number_.back() ? header.substr(1) : std::move(header));
    }
}

void Table::add(std::vector<std::string> cells) {
    cells.resize(headers_.size());
    rows_.push_back(std::move(cells));
}

std::string Table::text() const {
    std::vector<size_t> widths;
    for (size_t i = 0; i < headers_.size(); i++) {
        size_t width = headers_[i].size();
        for (const auto& row : rows_)
            width = std::max(width, row[i].size());
        widths.push_back(width);
    }
    std::string text;
    const auto add_line = [&](const std::vector<std::string>& cells) {
        std::string line;
        for (size_t i = 0; i < cells.size(); i++) {
            if (i > 0) line += "  ";
            if (is_number_[i])
                fmt::format_to(std::back_inserter(line), "{:>{}}", cells[i], widths[i]);
            else
                fmt::format_to(std::back_inserter(line), "{:<{}}", cells[i], widths[i]);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text.append(line).append("\n");
    };
    add_line(headers_);
    for (const auto& row : rows_)
        add_line(row);
    return text;
}

}  // namespace proxyd
