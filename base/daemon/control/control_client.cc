// SPDX-License-Identifier: MIT
#include "base/daemon/control/control_client.h"

#include "base/daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <array>
#include <cstring>

namespace proxyd {
namespace {

std::string_view advice(int reason) {
    switch (reason) {
        case ENOENT:
        case ECONNREFUSED:
            return "; is proxyd running? --control says where its socket is";
        case EACCES:
            return "; the socket is for its owner and group";
        default:
            return "";
    }
}

// Through a descriptor: a path may be longer than sun_path.
int connect_through(BorrowedFd socket, BorrowedFd file) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = fmt::format("/proc/self/fd/{}", file.number());
    memcpy(address.sun_path, path.data(), path.size());
    return connect(socket.number(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

}  // namespace

Result<ControlClient, std::string> ControlClient::connect_to(const std::string& path) {
    const UniqueFd file = UniqueFd::adopt(open(path.c_str(), O_PATH | O_CLOEXEC));
    UniqueFd socket = UniqueFd::adopt(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!file.is_open() || !socket.is_open() || connect_through(socket, file) != 0)
        return Unexpected{fmt::format("{}: {}{}", path, errno_text(errno), advice(errno))};
    ControlClient client(path, std::move(socket));
    client.wait_at_most(AnswerTime);
    return client;
}

void ControlClient::wait_at_most(std::chrono::seconds time) {
    wait_time_ = time;
    const timeval value{time.count(), 0};
    setsockopt(socket_.borrow().number(), SOL_SOCKET, SO_RCVTIMEO, &value, sizeof(value));
}

Result<Json, std::string> ControlClient::ask(const Json& request, const Item& item) {
    const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (std::string_view rest = text; !rest.empty();) {
        const ssize_t size =
            send(socket_.borrow().number(), rest.data(), rest.size(), MSG_NOSIGNAL);
        // Who refuses us has said why already.
        if (size < 0 && errno != EINTR) break;
        if (size > 0) rest.remove_prefix(static_cast<size_t>(size));
    }
    for (;;) {
        const auto received = line();
        if (!received) return Unexpected{received.error()};
        Json object = Json::parse(*received, nullptr, false);
        if (!object.is_object()) return Unexpected{trouble("something else than proxyd answers")};
        if (object.contains("ok")) return object;
        const bool is_item = object.contains("item") && object["item"].is_object();
        if (!item(is_item ? object["item"] : object)) return Json::object();
    }
}

Result<std::string, std::string> ControlClient::line() {
    std::array<char, 65536> buffer;
    size_t searched = 0;
    for (;;) {
        const size_t end = received_.find('\n', searched);
        if (end != received_.npos) {
            std::string line = received_.substr(0, end);
            received_.erase(0, end + 1);
            return line;
        }
        searched = received_.size();
        const ssize_t size = recv(socket_.borrow().number(), buffer.data(), buffer.size(), 0);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0 && errno == EAGAIN)
            return Unexpected{
                trouble(fmt::format("proxyd has said nothing for {} s: it is stopped, or very busy",
                                    wait_time_.count()))};
        if (size <= 0) return Unexpected{trouble("proxyd has closed the connection")};
        received_.append(buffer.data(), static_cast<size_t>(size));
    }
}

std::string ControlClient::trouble(std::string_view what) const {
    return fmt::format("{}: {}", path_, what);
}

}  // namespace proxyd
