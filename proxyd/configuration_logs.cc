// SPDX-License-Identifier: MIT
#include "proxyd/configuration_parts.h"
#include "proxyd/configuration_values.h"

#include <nlohmann/json.hpp>

namespace proxyd {

void read_access_log(ConfigurationReader& reader, const JsonMember& member,
                     Configuration& configuration) {
    constexpr std::string_view Allowed = "\"stderr\" or an absolute path";
    const auto* text = reader.string_of(member.value, "access_log", Allowed);
    if (text == nullptr) return;
    if (*text != "stderr" && !is_absolute_path(*text))
        reader.add_error(member.value.line, "access_log", "'{}' is no absolute path, {} is allowed",
                         printable(*text), Allowed);
    configuration.access_log = *text;
    configuration.access_log_place = reader.place(member.value.line, "access_log");
}

void read_access_log_format(ConfigurationReader& reader, const JsonMember& member,
                            Configuration& configuration) {
    constexpr std::string_view Allowed = "\"text\" or \"json\"";
    const auto* text = reader.string_of(member.value, "access_log_format", Allowed);
    if (text == nullptr) return;
    if (*text == "json")
        configuration.access_log_format = AccessLogFormat::Json;
    else if (*text != "text")
        reader.add_error(member.value.line, "access_log_format", "is '{}', {} is allowed",
                         printable(*text), Allowed);
}

void print_logs(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["access_log"] = configuration.access_log;
    out["access_log_format"] =
        configuration.access_log_format == AccessLogFormat::Json ? "json" : "text";
}

}  // namespace proxyd
