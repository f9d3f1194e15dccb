// SPDX-License-Identifier: MIT
#include "proxyd/configuration_parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

void read_list(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
               CidrList& list) {
    constexpr std::string_view Allowed =
        "an array of addresses and prefixes such as [\"192.0.2.0/24\", \"2001:db8::/32\"]";
    const auto* array = member.value.as<JsonValue::Array>();
    if (array == nullptr || array->empty()) {
        // Whoever writes an empty `allow` means nobody, or hasn't come to it yet.
        reader.add_error(member.value.line, path, "is {}, {} is allowed",
                         array ? "empty" : member.value.type_words(), Allowed);
        return;
    }
    for (size_t i = 0; i < array->size(); i++) {
        const JsonValue& value = (*array)[i];
        const std::string value_path = fmt::format("{}[{}]", path, i);
        const auto* text =
            reader.string_of(value, value_path, "an address or a prefix such as \"192.0.2.0/24\"");
        if (text == nullptr) continue;
        if (const auto added = list.add(*text); !added)
            reader.add_error(value.line, value_path, "{}", added.error());
    }
}

}  // namespace

void read_allow(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
                AccessLists& access) {
    read_list(reader, member, path, access.allow);
}

void read_deny(ConfigurationReader& reader, const JsonMember& member, std::string_view path,
               AccessLists& access) {
    read_list(reader, member, path, access.deny);
}

void print_access(const AccessLists& access, nlohmann::ordered_json& out) {
    if (!access.allow.empty()) out["allow"] = access.allow.texts();
    if (!access.deny.empty()) out["deny"] = access.deny.texts();
}

}  // namespace proxyd
