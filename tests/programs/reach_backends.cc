// SPDX-License-Identifier: MIT
//
// tcpshim's way to its backends without its relay: every line of standard input is a client. For
// tests with real name servers and real networks.
//
//     reach_backends [--resolver ADDRESS:PORT] [--hosts FILE] [--KEY MS-OR-NUMBER]... BACKEND...
//
// BACKEND: "HOST:PORT", "srv:NAME" or "unix:PATH". A line "SOURCE" gets, when it is clear, the line
// "SOURCE: BACKEND ADDRESS ATTEMPTS" or "SOURCE: FAILURE - ATTEMPTS"; the connection is held until
// a line "close". A line "backends" gets "backends: TEXT=STATE...".
#include "base/daemon/log.h"
#include "tcpshim/connector.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

using namespace proxyd;
using namespace proxyd::shim;

namespace {

void say(const std::string& line) {
    const std::string whole = line + "\n";
    if (write(STDOUT_FILENO, whole.data(), whole.size()) < 0) _exit(1);
}

BackendConfiguration backend_of(const std::string& text) {
    BackendConfiguration backend;
    backend.text = text;
    if (text.starts_with("srv:")) {
        backend.kind = BackendKind::Service;
        backend.host = text.substr(4);
    } else if (text.starts_with("unix:")) {
        backend.kind = BackendKind::UnixStream;
        backend.host = text.substr(5);
    } else {
        const size_t colon = text.rfind(':');
        const bool has_brackets = text.starts_with("[");
        backend.host = has_brackets ? text.substr(1, colon - 2) : text.substr(0, colon);
        backend.port = static_cast<uint16_t>(atoi(text.c_str() + colon + 1));
    }
    return backend;
}

class Client final : Connector::Owner {
  public:
    Client(EventLoop& loop, BackendGroup& group, std::string source) : source_(std::move(source)) {
        if (const auto address = SocketAddress::parse_host(source_, 1)) client_.source = *address;
        connector_ = std::make_unique<Connector>(loop, group, client_,
                                                 static_cast<Connector::Owner&>(*this));
        connector_->start();
    }

  private:
    void on_connected(UniqueFd socket, BackendLease lease,
                      const SocketAddress& address) noexcept override {
        socket_ = std::move(socket);
        lease_ = std::move(lease);
        SocketAddress::Text text;
        say(fmt::format("{}: {} {} {}", source_, lease_.backend().text(), address.format(text),
                        connector_->attempts()));
    }
    void on_no_backend(ConnectFailure failure) noexcept override {
        say(fmt::format("{}: {} - {}", source_, connect_failure_word(failure),
                        connector_->attempts()));
    }

    const std::string source_;
    ClientDescription client_;
    UniqueFd socket_;
    BackendLease lease_;
    std::unique_ptr<Connector> connector_;
};

class Program {
  public:
    Program(EventLoop& loop, Resolver& resolver, const SiteConfiguration& site)
        : loop_(loop), poll_(loop), group_(loop, resolver, poll_, site), input_(loop, *this) {
        input_.start(BorrowedFd(STDIN_FILENO));
        loop.run();
    }

  private:
    void on_input() noexcept {
        std::array<char, 4096> bytes;
        const ssize_t count = read(STDIN_FILENO, bytes.data(), bytes.size());
        if (count <= 0) return loop_.stop();
        text_.append(bytes.data(), static_cast<size_t>(count));
        for (size_t end; (end = text_.find('\n')) != text_.npos; text_.erase(0, end + 1))
            obey(text_.substr(0, end));
    }

    void obey(const std::string& line) {
        if (line == "close") return clients_.clear();
        if (line != "backends")
            return clients_.push_back(std::make_unique<Client>(loop_, group_, line));
        std::string states = "backends:";
        for (const auto& backend : group_.backends())
            states += fmt::format(" {}={}", backend->text(),
                                  backend_state_word(backend->state(Clock::now())));
        say(states);
    }

    EventLoop& loop_;
    ConnectPoll poll_;
    BackendGroup group_;
    std::vector<std::unique_ptr<Client>> clients_;
    std::string text_;
    ReadWatcher<&Program::on_input> input_;
};

}  // namespace

int main(int argc, char** argv) {
    set_log_level(LogLevel::Debug);
    log_debug("started");  // opens /etc/localtime, which no later line does
    SiteConfiguration site;
    site.name = "test";
    std::vector<std::string> resolvers;
    std::string hosts = "/nonexistent";
    for (int i = 1; i < argc; i++) {
        const std::string word = argv[i];
        if (!word.starts_with("--")) {
            site.backends.push_back(backend_of(word));
            continue;
        }
        const std::string value = ++i < argc ? argv[i] : "";
        const Milliseconds time(atoi(value.c_str()));
        if (word == "--resolver") resolvers.push_back(value);
        if (word == "--hosts") hosts = value;
        if (word == "--balance")
            site.balance = value == "source_hash" ? Balance::SourceHash : Balance::LeastConnections;
        if (word == "--connect-timeout") site.connect_timeout = time;
        if (word == "--backend-wait") site.backend_wait = time;
        if (word == "--check")
            site.check.kind = value == "tls"    ? CheckKind::Tls
                              : value == "http" ? CheckKind::Http
                                                : CheckKind::Connect;
        if (word == "--interval") site.check.interval = time;
        if (word == "--check-timeout") site.check.timeout = time;
        if (word == "--check-name") site.check.name = value;
    }
    EventLoop loop;
    const auto resolver = Resolver::create(loop, resolvers, hosts.c_str());
    if (!resolver) {
        say(resolver.error());
        return 1;
    }
    Program(loop, **resolver, site);
    return 0;
}
