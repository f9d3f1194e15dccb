// SPDX-License-Identifier: MIT
//
// SiteReader: reads what the configuration file says of one site, or of all of them ("defaults").
// Used by configuration_file, and by proxyd for its routes to TCP servers.
#pragma once

#include "base/daemon/configuration/configuration_reader.h"
#include "base/relay/configuration.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace proxyd::shim {

// How the object of a site is called where it stands.
struct SiteWords {
    std::string_view what = "a site";
    std::string_view backends_key = "to";
    // More keys that are allowed there, for messages: somebody else reads them.
    std::span<const std::string_view> other_keys = {};
};

class SiteReader {
  public:
    // `path`: of the value in the file, "defaults" or "sites.nas". Adds to `site`, which holds the
    // defaults.
    SiteReader(ConfigurationReader& reader, std::string path, SiteConfiguration& site,
               SiteWords words = {})
        : reader_(reader), path_(std::move(path)), site_(site), words_(words) {}

    // An object of settings, all but "to".
    void read_defaults(const JsonValue& value);
    // Such an object with backends, or those alone.
    void read_site(const JsonValue& value);

  private:
    struct Key;
    static const std::vector<Key>& keys();

    void read_object(const JsonValue::Object& object, std::string_view what, bool has_backends);
    void read_backends(const JsonValue& value, const std::string& path);
    void read_backend(const JsonValue& value, const std::string& path);
    void read_backend_object(const JsonValue::Object& object, int line, const std::string& path);
    void read_ports(const JsonValue& value, const std::string& path);
    void read_balance(const JsonValue& value, const std::string& path);
    void read_proxy_protocol(const JsonValue& value, const std::string& path);
    void read_check(const JsonValue& value, const std::string& path);
    void read_check_kind(const JsonValue& value, const std::string& path);
    void read_check_key(const JsonMember& member, const std::string& path);
    void read_status(const JsonValue& value, const std::string& path);
    void read_flag(const JsonValue& value, const std::string& path, bool& out);
    void read_number(const JsonValue& value, const std::string& path, int64_t least, int64_t most,
                     uint32_t& out);
    void check_whole(int line);

    ConfigurationReader& reader_;
    const std::string path_;
    SiteConfiguration& site_;
    const SiteWords words_;
};

}  // namespace proxyd::shim
