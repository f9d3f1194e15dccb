// SPDX-License-Identifier: MIT
//
// The configuration file of tcpshim: JSON to Configuration and back; its keys are described in
// docs/TCPSHIM.md. Reading it touches nothing but the text. Used by tcpshim, and by proxyd, which
// writes one for its routes to TCP servers.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/posix/result.h"
#include "base/relay/configuration.h"

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace proxyd::shim {

inline constexpr std::string_view DefaultControlSocket = "/run/proxyd/tcpshim.sock";

// `file` is only the name in messages.
Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file);

// tcpshim as a part of proxyd's configuration: the settings of tcpshim as a whole, and where the
// site directories of its routes are.
struct Embedded {
    Configuration configuration;  // without sites
    SiteConfiguration defaults;   // of all routes
    std::string directory = "/run/proxyd/tcp";
};
Embedded default_embedded(std::string_view file);
// The object `value`, which stands at `path`: all keys of the file but "sites" and "user", which
// proxyd knows, and "directory".
void read_embedded(ConfigurationReader& reader, const JsonValue& value, std::string_view path,
                   Embedded& embedded);
nlohmann::ordered_json embedded_json(const Embedded& embedded);

// The keys of one site, as they stand below its directory.
nlohmann::ordered_json site_json(const SiteConfiguration& site);

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
