// SPDX-License-Identifier: MIT
//
// The configuration file of tcpshim: JSON to Configuration and back; its keys are described in
// docs/TCPSHIM.md. Reading it touches nothing but the text. Used by main and the supervisor.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/posix/result.h"
#include "tcpshim/configuration.h"

#include <string>
#include <string_view>

namespace proxyd::shim {

inline constexpr std::string_view DefaultControlSocket = "/run/proxyd/tcpshim.sock";

// `file` is only the name in messages.
Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file);

// As JSON that parse_configuration reads back to the same value.
std::string print_configuration(const Configuration& configuration);

// What may stand in a site socket's name as its instance.
inline constexpr std::string_view InstanceForms = "up to 64 letters, digits, '-' and '_'";
bool is_instance(std::string_view text);

// The directory that a site's text means: an absolute path, or a name below /run/proxyd/sites;
// "" if it is neither.
std::string site_directory_of(std::string_view text);

// Gives each site the name that logs and counters call it by: the last part of its directory, or
// the whole of it where two have the same last part.
void name_sites(Configuration& configuration);

}  // namespace proxyd::shim
