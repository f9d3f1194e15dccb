// SPDX-License-Identifier: MIT
//
// advice: commands in messages of proxyrun, so that they work as they are typed. Used by what
// checks sites and programs.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

namespace proxyd {

// The word as a shell has to be given it: in quotes if there is anything special in it.
std::string shell_word(std::string_view word);

// How the user has called proxyrun: by a path, or by its name alone.
std::string typed_proxyrun();

// How to call the proxyctl that belongs to this proxyrun; "" if there is none.
std::string typed_proxyctl();

// "as root: " for those who are not.
std::string_view as_root();

// The option for a server that binds port `server`, whose clients come to one of `edges`.
std::string port_advice(const std::set<uint16_t>& edges, uint16_t server);

std::string name_of_user(unsigned user);
std::string name_of_group(unsigned group);

}  // namespace proxyd
