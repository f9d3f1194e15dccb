// SPDX-License-Identifier: MIT
//
// NameIndex: finds the position of a name in a list that somebody else keeps, in one piece of
// memory however many names there are, so that it is made in milliseconds and shared by processes
// as it is. Used for the routes of a configuration. Names are added, never taken away.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

namespace proxyd {

class NameIndex {
  public:
    explicit NameIndex(size_t names_max) : slots_(std::bit_ceil(2 * names_max + 1)) {}

    // The position of the same name if it is there already, else nothing, and `position` is its
    // from now on. `name_at(position)` gives the names that were added so far.
    template <typename NameAt>
    std::optional<uint32_t> add(std::string_view name, uint32_t position, NameAt name_at) {
        Slot& slot = slots_[slot_of(name, name_at)];
        if (slot.number != 0) return slot.number - 1;
        slot = {short_hash(name), position + 1};
        return std::nullopt;
    }
    template <typename NameAt>
    std::optional<uint32_t> find(std::string_view name, NameAt name_at) const {
        const Slot& slot = slots_[slot_of(name, name_at)];
        return slot.number != 0 ? std::optional(slot.number - 1) : std::nullopt;
    }

  private:
    struct Slot {
        uint32_t hash = 0;
        uint32_t number = 0;  // the position and 1; 0: nothing is here
    };

    static uint32_t short_hash(std::string_view name) {
        return static_cast<uint32_t>(std::hash<std::string_view>{}(name));
    }
    // Where it is, or would be: half of the slots are empty, so there is an end.
    template <typename NameAt>
    size_t slot_of(std::string_view name, NameAt name_at) const {
        const uint32_t hash = short_hash(name);
        size_t at = hash & (slots_.size() - 1);
        while (slots_[at].number != 0 &&
               (slots_[at].hash != hash || name_at(slots_[at].number - 1) != name))
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }

    std::vector<Slot> slots_;
};

}  // namespace proxyd
