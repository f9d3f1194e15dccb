// SPDX-License-Identifier: MIT
#include "base/daemon/metrics/metrics_http.h"

#include "base/daemon/log.h"
#include "base/daemon/metrics/metrics_text.h"
#include "base/daemon/socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <microhttpd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

namespace proxyd {
namespace {

constexpr int Backlog = 64;
constexpr auto ClientTime = std::chrono::seconds(5);
constexpr auto PauseTime = std::chrono::seconds(1);
constexpr size_t ConnectionMemoryBytes = 16 * 1024;

UniqueFd make_socket(int family) {
    return UniqueFd::adopt(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Result<UniqueFd> bind_tcp_socket(const SocketAddress& address) {
    UniqueFd socket = make_socket(address.family());
    const int on = 1;
    if (!socket.is_open() ||
        setsockopt(socket.borrow().number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(socket.borrow().number(), address.kernel_address(), address.kernel_length()) != 0 ||
        listen(socket.borrow().number(), Backlog) != 0)
        return Unexpected{Errno::last()};
    return socket;
}

MHD_Result answer(MHD_Connection* connection, unsigned status, std::string_view type,
                  std::string text) {
    MHD_Response* const response =
        MHD_create_response_from_buffer(text.size(), text.data(), MHD_RESPMEM_MUST_COPY);
    if (response == nullptr) return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, std::string(type).c_str());
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_GET);
    const MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

}  // namespace

Result<UniqueFd, std::string> bind_metrics_socket(const MetricsAddress& metrics) {
    const auto refused = [&](std::string_view why) {
        return Unexpected{
            fmt::format("{}: cannot listen on {}: {}", metrics.place, metrics.text, why)};
    };
    if (!metrics.path.empty()) {
        auto socket = listen_at_socket_file(metrics.path, SocketFileGroup::OfDirectory);
        if (!socket) return refused(socket.error());
        return *std::move(socket);
    }
    Result<UniqueFd> socket = bind_tcp_socket(metrics.address);
    if (socket) return *std::move(socket);
    const int why = socket.error().number;
    return refused(
        fmt::format("{}{}", errno_text(why), why == EADDRINUSE ? " (ss -ltnp tells by whom)" : ""));
}

void remove_metrics_socket(const MetricsAddress& metrics) {
    if (!metrics.path.empty()) remove_own_socket_file(metrics.path);
}

// What the library calls; nothing may be thrown through it.
struct MetricsHttp::Callbacks {
    static MHD_Result on_request(void* self, MHD_Connection* connection, const char* path,
                                 const char* method, const char*, const char*, size_t*,
                                 void**) noexcept {
        constexpr std::string_view PlainText = "text/plain; charset=utf-8";
        const auto& http = *static_cast<MetricsHttp*>(self);
        if (std::string_view(path) != "/metrics")
            return answer(connection, MHD_HTTP_NOT_FOUND, PlainText,
                          fmt::format("{}: there is /metrics and nothing else\n", http.program_));
        if (std::string_view(method) != MHD_HTTP_METHOD_GET)
            return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, PlainText,
                          fmt::format("{}: metrics can only be got (GET)\n", http.program_));
        return answer(connection, MHD_HTTP_OK, PrometheusContentType, http.owner_.metrics_text());
    }

    static void on_connection(void* self_pointer, MHD_Connection* connection, void**,
                              MHD_ConnectionNotificationCode what) noexcept {
        auto& self = *static_cast<MetricsHttp*>(self_pointer);
        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
            const auto* info =
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
            self.clients_.push_back({connection, info->connect_fd, Clock::now() + ClientTime});
        } else {
            std::erase_if(self.clients_,
                          [&](const Client& client) { return client.connection == connection; });
        }
    }
};

MetricsHttp::MetricsHttp(EventLoop& loop, UniqueFd listening_socket, Owner& owner,
                         std::string_view program)
    : listening_socket_(std::move(listening_socket)),
      owner_(owner),
      program_(program),
      connecting_(loop, *this),
      ready_(loop, *this),
      timer_(loop, *this),
      pause_(loop, *this) {}

MetricsHttp::~MetricsHttp() {
    if (library_ != nullptr) MHD_stop_daemon(library_);
}

Result<std::unique_ptr<MetricsHttp>> MetricsHttp::create(EventLoop& loop, UniqueFd listening_socket,
                                                         Owner& owner, std::string_view program) {
    std::unique_ptr<MetricsHttp> http(
        new MetricsHttp(loop, std::move(listening_socket), owner, program));
    if (const auto started = http->start(); !started) return Unexpected{started.error()};
    return http;
}

Result<void> MetricsHttp::start() {
    clients_.reserve(ConnectionsMax);
    errno = 0;
    library_ = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, nullptr, nullptr, &Callbacks::on_request, this,
        MHD_OPTION_NOTIFY_CONNECTION, &Callbacks::on_connection, this, MHD_OPTION_CONNECTION_LIMIT,
        static_cast<unsigned>(ConnectionsMax), MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        ConnectionMemoryBytes, MHD_OPTION_END);
    if (library_ == nullptr) return Unexpected{errno != 0 ? Errno::last() : Errno{ENOMEM}};
    const auto* info = MHD_get_daemon_info(library_, MHD_DAEMON_INFO_EPOLL_FD);
    ready_.start(BorrowedFd(info->epoll_fd));
    connecting_.start(listening_socket_);
    return {};
}

void MetricsHttp::on_connecting() noexcept {
    accept_one();
    run();
}

void MetricsHttp::on_ready() noexcept {
    run();
}

void MetricsHttp::on_timer() noexcept {
    end_overdue_clients();
    run();
}

void MetricsHttp::on_pause_over() noexcept {
    if (clients_.size() < ConnectionsMax) connecting_.start(listening_socket_);
}

void MetricsHttp::accept_one() {
    sockaddr_storage address{};
    socklen_t length = sizeof(address);
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    const int client = accept4(listening_socket_.borrow().number(), generic, &length,
                               SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client >= 0) {
        MHD_add_connection(library_, client, generic, length);  // closes it if it can't take it
    } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        connecting_.stop();
        pause_.start(PauseTime);
    }
}

// Serves whoever is ready, and sees to it that we are called again when it is time.
void MetricsHttp::run() {
    MHD_run(library_);
    if (clients_.size() >= ConnectionsMax)
        connecting_.stop();
    else if (!connecting_.is_active() && !pause_.is_active())
        connecting_.start(listening_socket_);

    timer_.stop();
    if (clients_.empty()) return;
    auto delay = std::max<Clock::duration>(clients_.front().deadline - Clock::now(),
                                           std::chrono::milliseconds(1));
    MHD_UNSIGNED_LONG_LONG milliseconds = 0;
    if (MHD_get_timeout(library_, &milliseconds) == MHD_YES)
        delay = std::min<Clock::duration>(
            delay,
            std::chrono::milliseconds(std::min<MHD_UNSIGNED_LONG_LONG>(milliseconds, 60'000)));
    timer_.start(delay);
}

// The library sees their end, and closes.
void MetricsHttp::end_overdue_clients() {
    const Clock::time_point now = Clock::now();
    for (const Client& client : clients_)
        if (client.deadline <= now) shutdown(client.socket, SHUT_RDWR);
}

}  // namespace proxyd
