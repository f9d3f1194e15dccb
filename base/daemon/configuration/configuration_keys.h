// SPDX-License-Identifier: MIT
//
// A table of the keys that an object of the configuration may have, and its reading: each member is
// given to the one function that knows it, unknown and repeated ones are errors. Used by each
// daemon's configuration for its file as a whole.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/daemon/configuration/configuration_values.h"
#include "base/daemon/json.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

namespace proxyd {

template <typename Target>
struct ConfigurationKey {
    std::string_view name;
    // Reads the value; what is wrong with it goes to `reader`.
    void (*read)(ConfigurationReader& reader, const JsonMember& member, Target& target);
};

// `what` has these keys: "proxyd".
template <typename Target, size_t Count>
void read_keys(ConfigurationReader& reader, const JsonValue::Object& object, std::string_view what,
               const std::array<ConfigurationKey<Target>, Count>& keys, Target& target) {
    std::array<std::string_view, Count> names;
    std::ranges::transform(keys, names.begin(), &ConfigurationKey<Target>::name);
    for (const JsonMember& member : object) {
        const std::string path = printable_key(member.key);
        if (!reader.is_first(object, member, path)) continue;
        const auto key = std::ranges::find(keys, member.key, &ConfigurationKey<Target>::name);
        if (key != keys.end())
            key->read(reader, member, target);
        else
            reader.add_unknown_key(member, path, what, names);
    }
}

}  // namespace proxyd
