// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "proxyd/configuration_parts.h"

#include <nlohmann/json.hpp>

namespace proxyd {

void read_control(ConfigurationReader& reader, const JsonMember& member,
                  Configuration& configuration) {
    constexpr std::string_view Allowed = "\"none\" or an absolute path";
    const auto* text = reader.string_of(member.value, "control", Allowed);
    if (text == nullptr) return;
    if (*text != "none" && !is_absolute_path(*text))
        reader.add_error(member.value.line, "control", "'{}' is no absolute path, {} is allowed",
                         printable(*text), Allowed);
    configuration.control = *text;
    configuration.control_place = reader.place(member.value.line, "control");
}

void print_control(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["control"] = configuration.control;
}

}  // namespace proxyd
