// SPDX-License-Identifier: MIT
//
// Reading goes over the document once and collects every error; a key is handled by the one
// function that knows it. What a key allows is said in the message that refuses a value.
#include "proxyd/configuration.h"

#include "base/daemon/json.h"
#include "proxyd/configuration_values.h"
#include "proxyd/dns_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_map>

namespace proxyd {
namespace {

// Whether the kernel would refuse to listen on both. Port 0 is another one each time.
bool overlap(const SocketAddress& a, const SocketAddress& b) {
    if (a.family() != b.family() || a.port() != b.port() || a.port() == 0) return false;
    return a == b || a.is_wildcard() || b.is_wildcard();
}

class Reader {
  public:
    explicit Reader(std::string_view file) {
        configuration_.file = file;
        configuration_.access_log_place = fmt::format("{}: access_log", file);
    }

    void read(const JsonValue& root) {
        const auto* object = root.as<JsonValue::Object>();
        if (object == nullptr) {
            add_error(root.line, "", "is {}, an object is allowed", root.type_words());
            return;
        }
        for (const JsonMember& member : *object)
            read_key(*object, member);
        if (!given(*object, "listen"))
            add_error(root.line, "listen",
                      "is missing, an array of addresses such as [\":443\", \":80\"] is needed");
        else if (errors_.empty() && has_nowhere_to_go())
            add_error(root.line, "routes",
                      "is empty, and so is 'sites': there is nowhere to hand connections to from a "
                      "listener without a site of its own");
    }

    Configuration take_configuration() { return std::move(configuration_); }
    ConfigurationErrors take_errors() { return std::move(errors_); }

  private:
    using KeyReader = void (Reader::*)(const JsonMember&);

    // clang-format off
    static constexpr std::array<std::pair<std::string_view, KeyReader>, 10> key_readers() {
        return {{
            {"listen", &Reader::read_listen},
            {"routes", &Reader::read_routes},
            {"sites", &Reader::read_sites},
            {"hello_bytes_max", &Reader::read_hello_bytes_max},
            {"hello_timeout", &Reader::read_hello_timeout},
            {"wait_for_site", &Reader::read_wait_for_site},
            {"pending_max", &Reader::read_pending_max},
            {"sessions_max", &Reader::read_sessions_max},
            {"access_log", &Reader::read_access_log},
            {"access_log_format", &Reader::read_access_log_format},
        }};
    }
    // clang-format on

    bool has_nowhere_to_go() const {
        return configuration_.routes.empty() && configuration_.sites.empty() &&
               std::any_of(configuration_.listeners.begin(), configuration_.listeners.end(),
                           [](const auto& listener) { return listener.site.empty(); });
    }

    static bool given(const JsonValue::Object& object, std::string_view key) {
        return std::any_of(object.begin(), object.end(),
                           [key](const JsonMember& member) { return member.key == key; });
    }

    std::string place(int line, std::string_view path) const {
        return fmt::format("{}:{}: {}", configuration_.file, line, path);
    }

    template <typename... Arguments>
    void add_error(int line, std::string_view path, fmt::format_string<Arguments...> format,
                   Arguments&&... arguments) {
        const std::string text = fmt::format(format, std::forward<Arguments>(arguments)...);
        errors_.push_back(path.empty() ? fmt::format("{}:{}: {}", configuration_.file, line, text)
                                       : fmt::format("{}: {}", place(line, path), text));
    }

    // False for a key that stands in the object before `member` too; the first one is in force.
    bool is_first(const JsonValue::Object& object, const JsonMember& member,
                  std::string_view path) {
        for (const JsonMember& other : object) {
            if (&other == &member) return true;
            if (other.key != member.key) continue;
            add_error(member.key_line, path, "is given twice, first in line {}", other.key_line);
            return false;
        }
        return true;
    }

    void read_key(const JsonValue::Object& object, const JsonMember& member) {
        static constexpr auto Readers = key_readers();
        const std::string path = printable_key(member.key);
        if (!is_first(object, member, path)) return;
        for (const auto& [key, reader] : Readers)
            if (key == member.key) return (this->*reader)(member);
        std::vector<std::string_view> known;
        for (const auto& [key, reader] : Readers)
            known.push_back(key);
        add_error(member.key_line, path, "is not a key of proxyd, {}", hint(member.key, known));
    }

    void read_listen(const JsonMember& member) {
        const auto* array = member.value.as<JsonValue::Array>();
        if (array == nullptr || array->empty()) {
            add_error(member.value.line, "listen",
                      "is {}, an array of one address or more is allowed",
                      array ? "empty" : member.value.type_words());
            return;
        }
        for (size_t i = 0; i < array->size(); i++)
            read_listener((*array)[i], fmt::format("listen[{}]", i));
    }

    void read_listener(const JsonValue& value, const std::string& path) {
        ListenerConfiguration listener;
        listener.place = place(value.line, path);
        if (const auto* address = value.as<std::string>()) {
            read_address(*address, value.line, path, listener);
        } else if (const auto* object = value.as<JsonValue::Object>()) {
            read_listener_object(*object, value.line, path, listener);
        } else {
            add_error(value.line, path, "is {}, an address or an object with 'address' is allowed",
                      value.type_words());
        }
        if (!listener.addresses.empty()) configuration_.listeners.push_back(std::move(listener));
    }

    void read_listener_object(const JsonValue::Object& object, int line, const std::string& path,
                              ListenerConfiguration& listener) {
        for (const JsonMember& member : object) {
            const std::string key_path = fmt::format("{}.{}", path, printable_key(member.key));
            if (!is_first(object, member, key_path)) continue;
            if (member.key == "address") {
                if (const auto* address = string_of(member.value, key_path, AddressForms))
                    read_address(*address, member.value.line, key_path, listener);
            } else if (member.key == "site") {
                listener.site = absolute_path(member.value, key_path);
            } else {
                static constexpr std::array<std::string_view, 2> Known = {"address", "site"};
                add_error(member.key_line, key_path, "is not a key of a listener, {}",
                          hint(member.key, Known));
            }
        }
        if (!given(object, "address"))
            add_error(line, path + ".address", "is missing, {} is needed", AddressForms);
    }

    void read_address(const std::string& text, int line, const std::string& path,
                      ListenerConfiguration& listener) {
        listener.address_text = text;
        listener.addresses = parse_listen_address(text);
        if (listener.addresses.empty())
            add_error(line, path, "'{}' is no address to listen on, {} is allowed", printable(text),
                      AddressForms);
        for (const ListenerConfiguration& other : configuration_.listeners)
            for (const SocketAddress& address : listener.addresses)
                if (std::ranges::any_of(other.addresses, [&](const SocketAddress& taken) {
                        return overlap(address, taken);
                    })) {
                    add_error(line, path, "'{}' is taken already by {}", text, other.place);
                    return;
                }
    }

    void read_routes(const JsonMember& member) {
        const auto* object = member.value.as<JsonValue::Object>();
        if (object == nullptr) {
            add_error(member.value.line, "routes",
                      "is {}, an object from names to site directories is allowed",
                      member.value.type_words());
            return;
        }
        std::unordered_map<std::string, int> lines;  // of the keys so far, in their plain form
        for (const JsonMember& route : *object) {
            const std::string path = fmt::format("routes.{}", printable_key(route.key));
            const Result<std::string, std::string> key = parse_route_key(route.key);
            if (!key) {
                add_error(route.key_line, path, "{}", key.error());
            } else if (const auto [first, is_new] = lines.emplace(*key, route.key_line); !is_new) {
                add_error(route.key_line, path, "is given twice, first in line {}", first->second);
            }
            std::string directory = absolute_path(route.value, path);
            if (key && !directory.empty())
                configuration_.routes.push_back({*key, std::move(directory), route.key_line});
        }
    }

    void read_sites(const JsonMember& member) {
        configuration_.sites = absolute_path(member.value, "sites");
        configuration_.sites_place = place(member.value.line, "sites");
    }

    void read_hello_bytes_max(const JsonMember& member) {
        read_count(member, 512, 65536, configuration_.hello_bytes_max);
    }
    void read_pending_max(const JsonMember& member) {
        read_count(member, 1, 1'000'000, configuration_.pending_max);
    }
    void read_sessions_max(const JsonMember& member) {
        read_count(member, 1, 1'000'000, configuration_.sessions_max);
    }
    void read_hello_timeout(const JsonMember& member) {
        read_duration(member, std::chrono::milliseconds(1), configuration_.hello_timeout);
    }
    void read_wait_for_site(const JsonMember& member) {
        read_duration(member, std::chrono::milliseconds(0), configuration_.wait_for_site);
    }

    void read_access_log(const JsonMember& member) {
        constexpr std::string_view Allowed = "\"stderr\" or an absolute path";
        const auto* text = string_of(member.value, "access_log", Allowed);
        if (text == nullptr) return;
        if (*text != "stderr" && !is_absolute_path(*text))
            add_error(member.value.line, "access_log", "'{}' is no absolute path, {} is allowed",
                      printable(*text), Allowed);
        configuration_.access_log = *text;
        configuration_.access_log_place = place(member.value.line, "access_log");
    }

    void read_access_log_format(const JsonMember& member) {
        constexpr std::string_view Allowed = "\"text\" or \"json\"";
        const auto* text = string_of(member.value, "access_log_format", Allowed);
        if (text == nullptr) return;
        if (*text == "json")
            configuration_.access_log_format = AccessLogFormat::Json;
        else if (*text != "text")
            add_error(member.value.line, "access_log_format", "is '{}', {} is allowed",
                      printable(*text), Allowed);
    }

    void read_count(const JsonMember& member, int64_t least, int64_t most, size_t& out) {
        const auto* number = member.value.as<int64_t>();
        if (number != nullptr && *number >= least && *number <= most) {
            out = static_cast<size_t>(*number);
            return;
        }
        const std::string found =
            number ? std::to_string(*number) : std::string(member.value.type_words());
        add_error(member.value.line, member.key, "is {}, a whole number from {} to {} is allowed",
                  member.value.as<double>() ? "no whole number" : found, least, most);
    }

    void read_duration(const JsonMember& member, std::chrono::milliseconds least,
                       std::chrono::milliseconds& out) {
        const std::string allowed =
            fmt::format("a duration from \"{}ms\" to \"1h\" such as \"250ms\", \"10s\" or \"2m\"",
                        least.count());
        const auto* text = string_of(member.value, member.key, allowed);
        if (text == nullptr) return;
        const auto duration = parse_duration(*text);
        if (duration && *duration >= least && *duration <= std::chrono::hours(1)) {
            out = *duration;
            return;
        }
        add_error(member.value.line, member.key, "is '{}', {} is allowed", printable(*text),
                  allowed);
    }

    const std::string* string_of(const JsonValue& value, std::string_view path,
                                 std::string_view allowed) {
        const auto* text = value.as<std::string>();
        if (text == nullptr)
            add_error(value.line, path, "is {}, {} is allowed", value.type_words(), allowed);
        return text;
    }

    // "" after an error.
    std::string absolute_path(const JsonValue& value, std::string_view path) {
        constexpr std::string_view Allowed = "the absolute path of a directory";
        const auto* text = string_of(value, path, Allowed);
        if (text == nullptr) return "";
        if (!is_absolute_path(*text)) {
            add_error(value.line, path, "'{}' is no absolute path, {} is allowed", printable(*text),
                      Allowed);
            return "";
        }
        return without_trailing_slashes(*text);
    }

    Configuration configuration_;
    ConfigurationErrors errors_;
};

}  // namespace

Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file) {
    const Result<JsonValue, JsonError> document = parse_json(text);
    if (!document)
        return Unexpected{ConfigurationErrors{fmt::format(
            "{}:{}: is not JSON: {}", file, document.error().line, document.error().text)}};
    Reader reader(file);
    reader.read(*document);
    ConfigurationErrors errors = reader.take_errors();
    if (!errors.empty()) return Unexpected{std::move(errors)};
    return reader.take_configuration();
}

std::string print_configuration(const Configuration& configuration) {
    nlohmann::ordered_json out;
    out["listen"] = nlohmann::ordered_json::array();
    for (const ListenerConfiguration& listener : configuration.listeners) {
        if (listener.site.empty())
            out["listen"].push_back(listener.address_text);
        else
            out["listen"].push_back({{"address", listener.address_text}, {"site", listener.site}});
    }
    out["routes"] = nlohmann::ordered_json::object();
    for (const RouteConfiguration& route : configuration.routes)
        out["routes"][route.key] = route.site_directory;
    if (!configuration.sites.empty()) out["sites"] = configuration.sites;
    out["hello_bytes_max"] = configuration.hello_bytes_max;
    out["hello_timeout"] = format_duration(configuration.hello_timeout);
    out["wait_for_site"] = format_duration(configuration.wait_for_site);
    out["pending_max"] = configuration.pending_max;
    out["sessions_max"] = configuration.sessions_max;
    out["access_log"] = configuration.access_log;
    out["access_log_format"] =
        configuration.access_log_format == AccessLogFormat::Json ? "json" : "text";
    return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace proxyd
