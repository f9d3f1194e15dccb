// SPDX-License-Identifier: MIT
#include "base/relay/configuration_file.h"

#include "base/daemon/configuration/configuration_keys.h"
#include "base/daemon/configuration/configuration_values.h"
#include "base/handoff/dns_name.h"
#include "base/handoff/site_socket.h"
#include "base/posix/socket_address.h"
#include "base/relay/site_reader.h"
#include "base/relay/words.h"

#include <ctype.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace proxyd::shim {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view SitesDirectory = "/run/proxyd/sites";
constexpr uint16_t PortUsual = 443;

struct Reading {
    Configuration& configuration;
    DaemonConfiguration& daemon;
    SiteConfiguration& defaults;
    std::string* directory = nullptr;  // of tcpshim as a part of proxyd
};

std::string printed_path(std::string_view site) {
    return fmt::format("sites.{}", printable_key(site));
}

void read_defaults(ConfigurationReader&, const JsonMember&, Reading&) {
    // Done already: wherever they stand, they are there for all sites.
}

void read_site(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    const std::string path = printed_path(member.key);
    SiteConfiguration site = reading.defaults;
    site.place = reader.place(member.key_line, path);
    site.directory = site_directory_of(member.key);
    auto& sites = reading.configuration.sites;
    if (site.directory.empty())
        reader.add_error(member.key_line, path,
                         "is no site, the absolute path of a directory, or the name of one in {}, "
                         "is allowed",
                         SitesDirectory);
    else if (const auto same =
                 std::ranges::find(sites, site.directory, &SiteConfiguration::directory);
             same != sites.end())
        reader.add_error(member.key_line, path, "is the same directory as that of {}", same->place);
    SiteReader(reader, path, site).read_site(member.value);
    if (site.ports.empty()) site.ports = {PortUsual};
    sites.push_back(std::move(site));
}

void read_sites(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    constexpr std::string_view Allowed =
        "an object from site directories to backends such as {\"/run/proxyd/sites/nas\": "
        "\"nas.lan:443\"}";
    const auto* object = member.value.as<JsonValue::Object>();
    if (object == nullptr || object->empty()) {
        reader.add_error(member.value.line, "sites", "is {}, {} is allowed",
                         object ? "empty" : member.value.type_words(), Allowed);
        return;
    }
    for (const JsonMember& site : *object)
        if (reader.is_first(*object, site, printed_path(site.key)))
            read_site(reader, site, reading);
}

void read_instance(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    const auto* text = reader.string_of(member.value, "instance", InstanceForms);
    if (text == nullptr) return;
    if (!is_instance(*text))
        reader.add_error(member.value.line, "instance", "is '{}', {} is allowed", printable(*text),
                         InstanceForms);
    reading.configuration.instance = *text;
}

void read_connections_max(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    reader.read_count(member, 1, 1'000'000, reading.configuration.connections_max);
}

void read_drain_timeout(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    reader.read_duration(member, Milliseconds(0), reading.configuration.drain_timeout);
}

bool is_resolver(std::string_view text) {
    if (SocketAddress::parse_host(text, 0)) return true;
    const auto addresses = parse_listen_address(text);
    return addresses.size() == 1 && addresses[0].port() != 0;
}

void read_resolvers(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    constexpr std::string_view Allowed =
        "an array of addresses such as \"192.0.2.53\" or \"[2001:db8::53]:5353\"";
    const auto* array = member.value.as<JsonValue::Array>();
    if (array == nullptr) {
        reader.add_error(member.value.line, "resolvers", "is {}, {} is allowed",
                         member.value.type_words(), Allowed);
        return;
    }
    for (size_t i = 0; i < array->size(); i++) {
        const std::string path = fmt::format("resolvers[{}]", i);
        const auto* text = reader.string_of((*array)[i], path, "an address");
        if (text == nullptr) continue;
        if (!is_resolver(*text))
            reader.add_error((*array)[i].line, path, "'{}' is no address, {} is allowed",
                             printable(*text), Allowed);
        else
            reading.configuration.resolvers.emplace_back(*text);
    }
}

void read_directory(ConfigurationReader& reader, const JsonMember& member, Reading& reading) {
    const std::string directory = reader.absolute_path(member.value, member.key);
    if (!directory.empty()) *reading.directory = directory;
}

// clang-format off
constexpr auto Keys = std::to_array<ConfigurationKey<Reading>>({
    {"sites", read_sites},
    {"defaults", read_defaults},
    {"instance", read_instance},
    {"connections_max", read_connections_max},
    {"drain_timeout", read_drain_timeout},
    {"resolvers", read_resolvers},
    {"access_log", read_daemon_key<read_access_log>},
    {"access_log_format", read_daemon_key<read_access_log_format>},
    {"user", read_daemon_key<read_user>},
    {"worker_timeout", read_daemon_key<read_worker_timeout>},
    {"control", read_daemon_key<read_control>},
    {"log_level", read_daemon_key<read_log_level>},
    {"metrics", read_daemon_key<read_metrics>},
});

constexpr auto EmbeddedKeys = std::to_array<ConfigurationKey<Reading>>({
    {"directory", read_directory},
    {"defaults", read_defaults},
    {"connections_max", read_connections_max},
    {"drain_timeout", read_drain_timeout},
    {"resolvers", read_resolvers},
    {"access_log", read_daemon_key<read_access_log>},
    {"access_log_format", read_daemon_key<read_access_log_format>},
    {"worker_timeout", read_daemon_key<read_worker_timeout>},
    {"control", read_daemon_key<read_control>},
    {"log_level", read_daemon_key<read_log_level>},
    {"metrics", read_daemon_key<read_metrics>},
});
// clang-format on

void read_defaults_first(ConfigurationReader& reader, const JsonValue::Object& object,
                         SiteConfiguration& defaults) {
    const auto member = std::ranges::find(object, "defaults", &JsonMember::key);
    if (member != object.end())
        SiteReader(reader, "defaults", defaults).read_defaults(member->value);
}

void read_document(ConfigurationReader& reader, const JsonValue& root,
                   Configuration& configuration) {
    const auto* object = root.as<JsonValue::Object>();
    if (object == nullptr) {
        reader.add_error(root.line, "", "is {}, an object is allowed", root.type_words());
        return;
    }
    SiteConfiguration defaults;
    read_defaults_first(reader, *object, defaults);
    Reading reading{configuration, configuration.daemon, defaults};
    read_keys(reader, *object, "tcpshim", Keys, reading);
    if (!reader.given(*object, "sites"))
        reader.add_error(root.line, "sites",
                         "is missing, an object from site directories to backends such as "
                         "{{\"/run/proxyd/sites/nas\": \"nas.lan:443\"}} is needed");
}

OrderedJson backend_json(const BackendConfiguration& backend) {
    OrderedJson out = {{"address", backend.text}, {"weight", backend.weight}};
    out["backup"] = backend.is_backup;
    out["connections_max"] = backend.connections_max;
    return out;
}

OrderedJson check_json(const CheckConfiguration& check) {
    OrderedJson out = {{"kind", check_kind_word(check.kind)}};
    out["interval"] = format_duration(check.interval);
    out["timeout"] = format_duration(check.timeout);
    out["rise"] = check.rise;
    out["fall"] = check.fall;
    if (!check.name.empty()) out["name"] = check.name;
    out["path"] = check.path;
    out["status"] = {check.status_least, check.status_most};
    return out;
}

// All but sites and user.
void print_settings(const Configuration& configuration, OrderedJson& out) {
    out["connections_max"] = configuration.connections_max;
    out["drain_timeout"] = format_duration(configuration.drain_timeout);
    if (!configuration.resolvers.empty()) out["resolvers"] = configuration.resolvers;
    print_logs(configuration.daemon, out);
    print_worker_timeout(configuration.daemon, out);
    print_control(configuration.daemon, out);
}

}  // namespace

OrderedJson site_json(const SiteConfiguration& site) {
    OrderedJson out;
    out["ports"] = site.ports;
    out["to"] = OrderedJson::array();
    for (const BackendConfiguration& backend : site.backends)
        out["to"].push_back(backend_json(backend));
    out["balance"] = balance_word(site.balance);
    out["proxy_protocol"] = false;
    if (site.proxy_protocol != ProxyProtocolVersion::None)
        out["proxy_protocol"] = site.proxy_protocol == ProxyProtocolVersion::V1 ? 1 : 2;
    out["transparent"] = site.is_transparent;
    out["connect_timeout"] = format_duration(site.connect_timeout);
    out["backend_wait"] = format_duration(site.backend_wait);
    out["idle_timeout"] = format_duration(site.idle_timeout);
    out["half_closed_timeout"] = format_duration(site.half_closed_timeout);
    out["keepalive_after"] = format_duration(site.keepalive_after);
    out["user_timeout"] = format_duration(site.user_timeout);
    out["connections_max"] = site.connections_max;
    out["failures_max"] = site.failures_max;
    out["failure_pause"] = format_duration(site.failure_pause);
    out["failure_pause_max"] = format_duration(site.failure_pause_max);
    out["check"] = check_json(site.check);
    return out;
}

bool is_instance(std::string_view text) {
    return !text.empty() && text.size() <= SiteSocketName::InstanceBytesMax &&
           std::ranges::all_of(
               text, [](unsigned char c) { return isalnum(c) != 0 || c == '-' || c == '_'; });
}

std::string site_directory_of(std::string_view text) {
    if (is_absolute_path(text)) return without_trailing_slashes(text);
    const bool is_wildcard = text.starts_with("*.");
    const auto name = DnsName::parse(is_wildcard ? text.substr(2) : text);
    if (!name) return "";
    return fmt::format("{}/{}{}", SitesDirectory, is_wildcard ? "*." : "", name->view());
}

void name_sites(Configuration& configuration) {
    std::map<std::string, size_t, std::less<>> count;
    for (SiteConfiguration& site : configuration.sites) {
        site.name = site.directory.substr(site.directory.rfind('/') + 1);
        count[site.name]++;
    }
    for (SiteConfiguration& site : configuration.sites)
        if (site.name.empty() || count[site.name] > 1) site.name = site.directory;
}

Result<Configuration, ConfigurationErrors> parse_configuration(std::string_view text,
                                                               std::string_view file) {
    const auto document = parse_configuration_document(text, file);
    if (!document) return Unexpected{document.error()};
    Configuration configuration;
    configuration.file = file;
    configuration.daemon = default_daemon_configuration(file, DefaultControlSocket);
    ConfigurationReader reader(file);
    read_document(reader, document->root, configuration);
    ConfigurationErrors errors = reader.take_errors();
    if (!errors.empty()) return Unexpected{std::move(errors)};
    name_sites(configuration);
    return configuration;
}

Embedded default_embedded(std::string_view file) {
    Embedded embedded;
    embedded.configuration.file = file;
    embedded.configuration.daemon = default_daemon_configuration(file, DefaultControlSocket);
    return embedded;
}

void read_embedded(ConfigurationReader& reader, const JsonValue& value, std::string_view path,
                   Embedded& embedded) {
    const auto* object = value.as<JsonValue::Object>();
    if (object == nullptr) {
        reader.add_error(value.line, path, "is {}, an object is allowed", value.type_words());
        return;
    }
    const ConfigurationReader::Below below(reader, path);
    read_defaults_first(reader, *object, embedded.defaults);
    Reading reading{embedded.configuration, embedded.configuration.daemon, embedded.defaults,
                    &embedded.directory};
    read_keys(reader, *object, "tcpshim", EmbeddedKeys, reading);
}

// The defaults are in each route already.
OrderedJson embedded_json(const Embedded& embedded) {
    OrderedJson out = {{"directory", embedded.directory}};
    print_settings(embedded.configuration, out);
    return out;
}

std::string print_configuration(const Configuration& configuration) {
    OrderedJson out;
    for (const SiteConfiguration& site : configuration.sites)
        out["sites"][site.directory] = site_json(site);
    if (!configuration.instance.empty()) out["instance"] = configuration.instance;
    print_settings(configuration, out);
    print_user(configuration.daemon, out);
    return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace proxyd::shim
