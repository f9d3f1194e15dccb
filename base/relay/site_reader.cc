// SPDX-License-Identifier: MIT
#include "base/relay/site_reader.h"

#include "base/daemon/configuration/configuration_values.h"
#include "base/relay/backend_text.h"
#include "base/relay/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace proxyd::shim {
namespace {

constexpr int64_t CountMax = 1'000'000;
constexpr Milliseconds None{0}, Shortest{1};

constexpr std::array<std::string_view, 4> BackendKeys = {"address", "weight", "backup",
                                                         "connections_max"};
constexpr std::array<std::string_view, 8> CheckKeys = {"kind", "interval", "timeout", "rise",
                                                       "fall", "name",     "path",    "status"};

std::string below(const std::string& path, std::string_view key) {
    return fmt::format("{}.{}", path, printable_key(key));
}

bool is_header_text(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

struct SiteReader::Key {
    std::string_view name;
    void (*read)(SiteReader& self, const JsonValue& value, const std::string& path);
};

const std::vector<SiteReader::Key>& SiteReader::keys() {
    using Self = SiteReader;
    using Value = const JsonValue&;
    using Path = const std::string&;
    // clang-format off
    static const std::vector<Key> All = {
        {"ports", [](Self& self, Value value, Path path) { self.read_ports(value, path); }},
        {"balance", [](Self& self, Value value, Path path) { self.read_balance(value, path); }},
        {"proxy_protocol", [](Self& self, Value value, Path path) { self.read_proxy_protocol(value, path); }},
        {"transparent", [](Self& self, Value value, Path path) { self.read_flag(value, path, self.site_.is_transparent); }},
        {"connect_timeout", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, Shortest, self.site_.connect_timeout); }},
        {"backend_wait", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, Shortest, self.site_.backend_wait); }},
        {"idle_timeout", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, None, self.site_.idle_timeout); }},
        {"half_closed_timeout", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, None, self.site_.half_closed_timeout); }},
        {"keepalive_after", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, None, self.site_.keepalive_after); }},
        {"user_timeout", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, None, self.site_.user_timeout); }},
        {"connections_max", [](Self& self, Value value, Path path) { self.reader_.read_count(value, path, 0, CountMax, self.site_.connections_max); }},
        {"failures_max", [](Self& self, Value value, Path path) { self.read_number(value, path, 1, 1000, self.site_.failures_max); }},
        {"failure_pause", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, Shortest, self.site_.failure_pause); }},
        {"failure_pause_max", [](Self& self, Value value, Path path) { self.reader_.read_duration(value, path, Shortest, self.site_.failure_pause_max); }},
        {"check", [](Self& self, Value value, Path path) { self.read_check(value, path); }},
    };
    // clang-format on
    return All;
}

void SiteReader::read_defaults(const JsonValue& value) {
    if (const auto* object = value.as<JsonValue::Object>())
        read_object(*object, "the defaults of sites", false);
    else
        reader_.add_error(value.line, path_, "is {}, an object is allowed", value.type_words());
}

void SiteReader::read_site(const JsonValue& value) {
    const bool was_fine = reader_.is_fine();
    if (const auto* object = value.as<JsonValue::Object>()) {
        read_object(*object, words_.what, true);
        if (!reader_.given(*object, words_.backends_key))
            reader_.add_error(value.line, below(path_, words_.backends_key),
                              "is missing, at least one of {} is needed", BackendForms);
    } else {
        read_backends(value, path_);
    }
    if (was_fine && reader_.is_fine()) check_whole(value.line);
}

void SiteReader::read_object(const JsonValue::Object& object, std::string_view what,
                             bool has_backends) {
    for (const JsonMember& member : object) {
        const std::string path = below(path_, member.key);
        if (!reader_.is_first(object, member, path)) continue;
        const auto key = std::ranges::find(keys(), member.key, &Key::name);
        if (key != keys().end()) {
            key->read(*this, member.value, path);
        } else if (has_backends && member.key == words_.backends_key) {
            read_backends(member.value, path);
        } else {
            std::vector<std::string_view> known(words_.other_keys.begin(), words_.other_keys.end());
            if (has_backends) known.push_back(words_.backends_key);
            std::ranges::transform(keys(), std::back_inserter(known), &Key::name);
            reader_.add_unknown_key(member, path, what, known);
        }
    }
}

void SiteReader::read_backends(const JsonValue& value, const std::string& path) {
    const auto* array = value.as<JsonValue::Array>();
    if (array == nullptr) return read_backend(value, path);
    if (array->empty())
        reader_.add_error(value.line, path, "is empty, at least one of {} is needed", BackendForms);
    for (size_t i = 0; i < array->size(); i++)
        read_backend((*array)[i], fmt::format("{}[{}]", path, i));
}

void SiteReader::read_backend(const JsonValue& value, const std::string& path) {
    if (const auto* object = value.as<JsonValue::Object>())
        return read_backend_object(*object, value.line, path);
    const auto* text = reader_.string_of(
        value, path, fmt::format("{}, or an object with 'address'", BackendForms));
    if (text == nullptr) return;
    const auto backend = parse_backend(*text);
    if (!backend)
        reader_.add_error(value.line, path, "'{}' {}, {} is allowed", printable(*text),
                          backend.error(), BackendForms);
    else if (std::ranges::find(site_.backends, *text, &BackendConfiguration::text) !=
             site_.backends.end())
        reader_.add_error(value.line, path,
                          "'{}' is there already; 'weight' gives it a larger share",
                          printable(*text));
    else
        site_.backends.push_back(*backend);
}

void SiteReader::read_backend_object(const JsonValue::Object& object, int line,
                                     const std::string& path) {
    const auto address = std::ranges::find(object, "address", &JsonMember::key);
    BackendConfiguration settings;
    for (const JsonMember& member : object) {
        const std::string key_path = below(path, member.key);
        if (!reader_.is_first(object, member, key_path)) continue;
        if (member.key == "weight")
            read_number(member.value, key_path, 1, 256, settings.weight);
        else if (member.key == "backup")
            read_flag(member.value, key_path, settings.is_backup);
        else if (member.key == "connections_max")
            reader_.read_count(member.value, key_path, 0, CountMax, settings.connections_max);
        else if (member.key != "address")
            reader_.add_unknown_key(member, key_path, "a backend", BackendKeys);
    }
    if (address == object.end()) {
        reader_.add_error(line, path + ".address", "is missing, {} is needed", BackendForms);
        return;
    }
    const size_t before = site_.backends.size();
    if (address->value.as<JsonValue::Object>() != nullptr)
        reader_.add_error(address->value.line, path + ".address", "is an object, {} is allowed",
                          BackendForms);
    else
        read_backend(address->value, path + ".address");
    if (site_.backends.size() == before) return;
    BackendConfiguration& backend = site_.backends.back();
    backend.weight = settings.weight;
    backend.is_backup = settings.is_backup;
    backend.connections_max = settings.connections_max;
}

void SiteReader::read_ports(const JsonValue& value, const std::string& path) {
    constexpr std::string_view Allowed = "a port or an array of ports such as [443, 80]";
    std::vector<uint16_t> ports;
    const auto read_one = [&](const JsonValue& each, const std::string& each_path) {
        const auto* number = each.as<int64_t>();
        if (number == nullptr || *number < 1 || *number > 65535) {
            const std::string found =
                number ? std::to_string(*number) : std::string(each.type_words());
            reader_.add_error(each.line, each_path, "is {}, a port from 1 to 65535 is allowed",
                              found);
        } else if (std::ranges::find(ports, *number) != ports.end()) {
            reader_.add_error(each.line, each_path, "is {}, which is there already", *number);
        } else {
            ports.push_back(static_cast<uint16_t>(*number));
        }
    };
    if (const auto* array = value.as<JsonValue::Array>()) {
        if (array->empty()) reader_.add_error(value.line, path, "is empty, {} is allowed", Allowed);
        for (size_t i = 0; i < array->size(); i++)
            read_one((*array)[i], fmt::format("{}[{}]", path, i));
    } else if (value.as<int64_t>() != nullptr) {
        read_one(value, path);
    } else {
        reader_.add_error(value.line, path, "is {}, {} is allowed", value.type_words(), Allowed);
    }
    if (!ports.empty()) site_.ports = std::move(ports);
}

void SiteReader::read_balance(const JsonValue& value, const std::string& path) {
    const auto* text = reader_.string_of(value, path, BalanceForms);
    if (text == nullptr) return;
    if (const auto balance = balance_of(*text))
        site_.balance = *balance;
    else
        reader_.add_error(value.line, path, "is '{}', {} is allowed", printable(*text),
                          BalanceForms);
}

void SiteReader::read_proxy_protocol(const JsonValue& value, const std::string& path) {
    const auto* number = value.as<int64_t>();
    const auto* flag = value.as<bool>();
    if (number != nullptr && *number == 1)
        site_.proxy_protocol = ProxyProtocolVersion::V1;
    else if (number != nullptr && *number == 2)
        site_.proxy_protocol = ProxyProtocolVersion::V2;
    else if (flag != nullptr && !*flag)
        site_.proxy_protocol = ProxyProtocolVersion::None;
    else
        reader_.add_error(value.line, path, "is {}, 1, 2 (versions) or false is allowed",
                          number ? std::to_string(*number)
                          : flag ? "true"
                                 : std::string(value.type_words()));
}

void SiteReader::read_check(const JsonValue& value, const std::string& path) {
    if (value.as<std::string_view>()) return read_check_kind(value, path);
    const auto* object = value.as<JsonValue::Object>();
    if (object == nullptr) {
        reader_.add_error(value.line, path, "is {}, {} or an object with 'kind' is allowed",
                          value.type_words(), CheckForms);
        return;
    }
    for (const JsonMember& member : *object) {
        const std::string key_path = below(path, member.key);
        if (reader_.is_first(*object, member, key_path)) read_check_key(member, key_path);
    }
    if (site_.check.kind == CheckKind::None && !reader_.given(*object, "kind"))
        reader_.add_error(value.line, path + ".kind", "is missing, {} is needed", CheckForms);
}

void SiteReader::read_check_kind(const JsonValue& value, const std::string& path) {
    const auto* text = reader_.string_of(value, path, CheckForms);
    if (text == nullptr) return;
    if (const auto kind = check_kind_of(*text))
        site_.check.kind = *kind;
    else
        reader_.add_error(value.line, path, "is '{}', {} is allowed", printable(*text), CheckForms);
}

void SiteReader::read_check_key(const JsonMember& member, const std::string& path) {
    CheckConfiguration& check = site_.check;
    const JsonValue& value = member.value;
    if (member.key == "kind") {
        read_check_kind(value, path);
    } else if (member.key == "interval") {
        reader_.read_duration(value, path, Milliseconds(100), check.interval);
    } else if (member.key == "timeout") {
        reader_.read_duration(value, path, Shortest, check.timeout);
    } else if (member.key == "rise") {
        read_number(value, path, 1, 100, check.rise);
    } else if (member.key == "fall") {
        read_number(value, path, 1, 100, check.fall);
    } else if (member.key == "status") {
        read_status(value, path);
    } else if (member.key == "name" || member.key == "path") {
        const bool is_path = member.key == "path";
        const std::string_view allowed = is_path ? "a path such as \"/health\"" : "a name";
        const auto* text = reader_.string_of(value, path, allowed);
        if (text == nullptr) return;
        if (!is_header_text(*text) || (is_path ? !text->starts_with('/') : text->empty()))
            reader_.add_error(value.line, path, "is '{}', {} is allowed", printable(*text),
                              allowed);
        else
            (is_path ? check.path : check.name) = *text;
    } else {
        reader_.add_unknown_key(member, path, "a check", CheckKeys);
    }
}

void SiteReader::read_status(const JsonValue& value, const std::string& path) {
    const auto number_of = [](const JsonValue& each) -> std::optional<uint16_t> {
        const auto* number = each.as<int64_t>();
        if (number == nullptr || *number < 100 || *number > 599) return std::nullopt;
        return static_cast<uint16_t>(*number);
    };
    const auto* array = value.as<JsonValue::Array>();
    const bool is_range = array != nullptr && array->size() == 2;
    const auto least = number_of(is_range ? array->front() : value);
    const auto most = number_of(is_range ? array->back() : value);
    if (!least || !most || *least > *most) {
        reader_.add_error(value.line, path,
                          "is no status, one from 100 to 599 such as 200, or the least and the "
                          "most such as [200, 399], is allowed");
        return;
    }
    site_.check.status_least = *least;
    site_.check.status_most = *most;
}

void SiteReader::read_flag(const JsonValue& value, const std::string& path, bool& out) {
    if (const auto* flag = value.as<bool>())
        out = *flag;
    else
        reader_.add_error(value.line, path, "is {}, true or false is allowed", value.type_words());
}

void SiteReader::read_number(const JsonValue& value, const std::string& path, int64_t least,
                             int64_t most, uint32_t& out) {
    size_t number = out;
    reader_.read_count(value, path, least, most, number);
    out = static_cast<uint32_t>(number);
}

// What no key alone can be blamed for.
void SiteReader::check_whole(int line) {
    if (site_.failure_pause > site_.failure_pause_max)
        reader_.add_error(
            line, path_, "'failure_pause' ({}) is longer than 'failure_pause_max' ({})",
            format_duration(site_.failure_pause), format_duration(site_.failure_pause_max));
    if (!site_.is_transparent) return;
    for (const BackendConfiguration& backend : site_.backends)
        if (backend.kind == BackendKind::UnixStream)
            reader_.add_error(line, path_,
                              "is 'transparent', and to the Unix socket '{}' nobody comes from an "
                              "address: use 'proxy_protocol' there",
                              printable(backend.text));
}

}  // namespace proxyd::shim
