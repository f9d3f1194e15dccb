// SPDX-License-Identifier: MIT
#include "base/daemon/configuration/configuration_values.h"
#include "proxyd/configuration_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace proxyd {
namespace {

constexpr std::array<std::string_view, 5> ListenerKeys = {"address", "site", "proxy_protocol",
                                                          "allow", "deny"};

// Port 0 is another one each time. An address of its own beside the wildcard is none of the same:
// the kernel gives clients to the listener that is named most precisely.
bool are_the_same(const SocketAddress& a, const SocketAddress& b) {
    return a.port() != 0 && a == b;
}

class ListenerReader {
  public:
    ListenerReader(ConfigurationReader& reader, Configuration& configuration)
        : reader_(reader), configuration_(configuration) {}

    void read(const JsonValue& value, const std::string& path) {
        listener_.place = reader_.place(value.line, path);
        if (const auto* address = value.as<std::string_view>()) {
            read_address(*address, value.line, path);
        } else if (const auto* object = value.as<JsonValue::Object>()) {
            read_object(*object, value.line, path);
        } else {
            reader_.add_error(value.line, path,
                              "is {}, an address or an object with 'address' is allowed",
                              value.type_words());
        }
        if (!listener_.addresses.empty()) configuration_.listeners.push_back(std::move(listener_));
    }

  private:
    void read_object(const JsonValue::Object& object, int line, const std::string& path) {
        for (const JsonMember& member : object) {
            const std::string key_path = fmt::format("{}.{}", path, printable_key(member.key));
            if (reader_.is_first(object, member, key_path)) read_key(member, key_path);
        }
        if (!reader_.given(object, "address"))
            reader_.add_error(line, path + ".address", "is missing, {} is needed", AddressForms);
        name_relay(line, path);
    }

    void read_key(const JsonMember& member, const std::string& path) {
        if (member.key == "address") {
            if (const auto* address = reader_.string_of(member.value, path, AddressForms))
                read_address(*address, member.value.line, path);
        } else if (member.key == "site") {
            read_site(member.value, path);
        } else if (member.key == "allow") {
            read_allow(reader_, member, path, listener_.access);
        } else if (member.key == "deny") {
            read_deny(reader_, member, path, listener_.access);
        } else if (member.key == "proxy_protocol") {
            read_proxy_protocol(member.value, path);
        } else {
            reader_.add_unknown_key(member, path, "a listener", ListenerKeys);
        }
    }

    // An object in its place has 'tcp': where the clients go, and how; who may come, and what they
    // bring, is the listener's.
    void read_site(const JsonValue& value, const std::string& path) {
        const auto backend = tcp_backend_in(value);
        if (backend || value.as<JsonValue::Object>() != nullptr)
            listener_.relay =
                read_relay(reader_, backend.value_or(value), path, configuration_,
                           {.what = "a listener's TCP servers",
                            .why_no_ports = "is not for a listener: clients come to its own port"});
        else if (value.as<std::string_view>() != nullptr)
            listener_.site = read_site_directory(reader_, value, path);
        else
            reader_.add_error(value.line, path,
                              "is {}, the absolute path of a directory, \"tcp://HOST:PORT\", or an "
                              "object with 'tcp' is allowed",
                              value.type_words());
    }

    // No route is called like an address, so it is the name of tcpshim's site.
    void name_relay(int line, const std::string& path) {
        if (listener_.relay == nullptr || listener_.addresses.empty()) return;
        listener_.site =
            fmt::format("{}/{}", configuration_.tcpshim.directory, listener_.address_text);
        if (listener_.addresses.front().port() == 0)
            reader_.add_error(
                line, path + ".site",
                "is relayed, and its site socket is called like the port: the address "
                "needs one other than 0");
    }

    void read_proxy_protocol(const JsonValue& value, const std::string& path) {
        const auto* array = value.as<JsonValue::Array>();
        if (const auto* is_from_all = value.as<bool>()) {
            listener_.proxy_protocol.is_from_all = *is_from_all;
        } else if (array == nullptr || array->empty()) {
            reader_.add_error(value.line, path,
                              "is {}, true (everybody sends a header) or a list of the sources "
                              "that do, such as [\"192.0.2.0/24\"], is allowed",
                              array ? "empty" : value.type_words());
        } else {
            for (size_t i = 0; i < array->size(); i++)
                read_proxy_source((*array)[i], fmt::format("{}[{}]", path, i));
        }
    }

    void read_proxy_source(const JsonValue& value, const std::string& path) {
        const auto* text =
            reader_.string_of(value, path, "an address or a prefix such as \"192.0.2.0/24\"");
        if (text == nullptr) return;
        const auto added = listener_.proxy_protocol.sources.add(*text);
        if (!added) reader_.add_error(value.line, path, "{}", added.error());
    }

    void read_address(std::string_view text, int line, const std::string& path) {
        listener_.address_text = text;
        listener_.addresses = parse_listen_address(text);
        if (listener_.addresses.empty())
            reader_.add_error(line, path, "'{}' is no address to listen on, {} is allowed",
                              printable(text), AddressForms);
        for (const SocketAddress& address : listener_.addresses)
            if (address.family() == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&address.ipv6()))
                reader_.add_error(line, path,
                                  "'{}' is an IPv4 address in the form of IPv6, its own form, such "
                                  "as \"192.0.2.1:443\", is allowed",
                                  printable(text));
        for (const ListenerConfiguration& other : configuration_.listeners)
            for (const SocketAddress& address : listener_.addresses)
                if (std::ranges::any_of(other.addresses, [&](const SocketAddress& taken) {
                        return are_the_same(address, taken);
                    })) {
                    reader_.add_error(line, path, "'{}' is taken already by {}", text, other.place);
                    return;
                }
    }

    ConfigurationReader& reader_;
    Configuration& configuration_;
    ListenerConfiguration listener_;
};

}  // namespace

void read_listen(ConfigurationReader& reader, const JsonMember& member,
                 Configuration& configuration) {
    const auto* array = member.value.as<JsonValue::Array>();
    if (array == nullptr || array->empty()) {
        reader.add_error(member.value.line, "listen",
                         "is {}, an array of one address or more is allowed",
                         array ? "empty" : member.value.type_words());
        return;
    }
    for (size_t i = 0; i < array->size(); i++)
        ListenerReader(reader, configuration).read((*array)[i], fmt::format("listen[{}]", i));
}

void print_listeners(const Configuration& configuration, nlohmann::ordered_json& out) {
    out["listen"] = nlohmann::ordered_json::array();
    for (const ListenerConfiguration& listener : configuration.listeners) {
        nlohmann::ordered_json object = {{"address", listener.address_text}};
        if (listener.relay != nullptr)
            object["site"] = relay_json(*listener.relay);
        else if (!listener.site.empty())
            object["site"] = listener.site;
        print_access(listener.access, object);
        if (listener.proxy_protocol.is_from_all) object["proxy_protocol"] = true;
        if (!listener.proxy_protocol.sources.empty())
            object["proxy_protocol"] = listener.proxy_protocol.sources.texts();
        // What has nothing but an address is printed as one.
        if (object.size() == 1) object = listener.address_text;
        out["listen"].push_back(std::move(object));
    }
}

}  // namespace proxyd
