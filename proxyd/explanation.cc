// SPDX-License-Identifier: MIT
#include "proxyd/explanation.h"

#include "proxyd/decision.h"

namespace proxyd {
namespace {

// One request on its way through the rules.
class Explainer {
  public:
    Explainer(const ExplainRequest& request, const RouteTable& routes,
              std::span<const Entrance* const> listeners)
        : request_(request), routes_(routes), listeners_(listeners) {}

    Explanation explain() {
        answer_.port = request_.port;
        // The control socket lets nothing else through (control_commands.cc).
        source_ = SocketAddress::parse_host(request_.from, 0);
        protocol_ = protocol_of_word(request_.protocol)
                        .value_or(request_.port == 80 ? Protocol::Http : Protocol::Tls);
        if (read_alpn()) explain_listener();
        answer_.steps = trace_.take_steps();
        return std::move(answer_);
    }

  private:
    bool reject(std::string_view reason) {
        answer_.reason = reason;
        return false;
    }

    bool read_alpn() {
        if (protocol_ != Protocol::Tls && !request_.alpn.empty()) {
            trace_.add("alpn", "", StepOutcome::Skip,
                       "only clients that speak TLS offer protocols");
            return true;
        }
        for (const std::string& protocol : request_.alpn) {
            if (protocol.empty() || protocol.size() > 255) {
                trace_.add("alpn", protocol, StepOutcome::Refuse,
                           "an application protocol has 1 to 255 bytes, not {}", protocol.size());
                return reject("tls_alpn");
            }
            if (alpn_.add(protocol)) continue;
            // So it is with what a client sends.
            trace_.add("alpn", protocol, StepOutcome::Skip,
                       "{}: left out, and all behind it, since the list is too long", protocol);
            break;
        }
        return true;
    }

    // The one that is named, or the first at the port; if the client's address is known, of its
    // family, unless it comes through a load balancer, which may speak another one.
    const Entrance* find_listener() const {
        for (const Entrance* listener : listeners_) {
            SocketAddress::Text text;
            const bool is_it =
                request_.listener.empty()
                    ? listener->address.port() == request_.port &&
                          (!source_ || source_->family() == listener->address.family() ||
                           !listener->proxy_protocol.is_off())
                    : listener->address.format(text) == request_.listener;
            if (is_it) return listener;
        }
        return nullptr;
    }

    std::string listeners_text() const {
        std::string all;
        for (const Entrance* listener : listeners_) {
            SocketAddress::Text text;
            all.append(all.empty() ? "" : ", ").append(listener->address.format(text));
        }
        return all;
    }

    void explain_listener() {
        const Entrance* const listener = find_listener();
        if (listener == nullptr) {
            const std::string key =
                request_.listener.empty() ? fmt::format(":{}", request_.port) : request_.listener;
            trace_.add("listener", key, StepOutcome::Refuse,
                       "listener {}: there is none for this client, only {}", key,
                       listeners_text());
            reject("no_listener");
            return;
        }
        SocketAddress::Text text;
        answer_.listener = listener->address.format(text);
        answer_.port = listener->address.port();
        trace_.add("listener", answer_.listener, StepOutcome::Pass, "comes in at {}",
                   answer_.listener);
        const Decision decision = decide_at_accept(listener->access, listener->site,
                                                   source_ ? &*source_ : nullptr, &trace_);
        if (!decision.is_open()) return take(decision);
        explain_hello();
    }

    // Names are checked by the parsers, before any rule is asked.
    void explain_hello() {
        std::optional<DnsName> name;
        if (!request_.name.empty() && !has_names(protocol_)) {
            trace_.add("name", request_.name, StepOutcome::Skip,
                       "the name counts for nothing: clients of the protocol {} have none",
                       protocol_word(protocol_));
        } else if (!request_.name.empty()) {
            const auto parsed = DnsName::parse(request_.name);
            if (!parsed) {
                const std::string_view reason = name_flaw_word(parsed.error());
                trace_.add("name", request_.name, StepOutcome::Refuse,
                           "{}: no name that a client may ask for ({})", request_.name, reason);
                reject(reason);
                return;
            }
            name = *parsed;
        } else if (protocol_ == Protocol::Http2) {
            trace_.add("name", "", StepOutcome::Refuse,
                       "each request of HTTP/2 names its host: one without is malformed");
            reject("http_host_missing");
            return;
        }
        take(decide_by_hello(
            routes_, {name ? name->view() : "", protocol_, alpn_, source_ ? &*source_ : nullptr},
            &trace_));
    }

    void take(const Decision& decision) {
        const Route* const route = decision.match.route;
        if (route != nullptr) answer_.route = route->key;
        answer_.is_rejected = decision.is_rejected();
        answer_.reason =
            decision.is_rejected() ? decision.rejected : route_rule_word(decision.match.rule);
        if (decision.is_rejected()) return;
        answer_.site_directory = route->site_directory;
        answer_.follows_links = route->follows_links;
    }

    const ExplainRequest& request_;
    const RouteTable& routes_;
    const std::span<const Entrance* const> listeners_;
    std::optional<SocketAddress> source_;
    Protocol protocol_ = Protocol::Tls;
    AlpnList alpn_;
    DecisionTrace trace_;
    Explanation answer_;
};

}  // namespace

Explanation explain(const ExplainRequest& request, const RouteTable& routes,
                    std::span<const Entrance* const> listeners) {
    return Explainer(request, routes, listeners).explain();
}

}  // namespace proxyd
