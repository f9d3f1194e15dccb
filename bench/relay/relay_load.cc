// SPDX-License-Identifier: MIT
//
// The two ends of a relay that is measured: a backend, and its clients. Used by run.py, which
// compiles it. A request is a line of 16 characters: the letter D (download), U (upload) or K (keep
// open) and a number of bytes in hexadecimal. D is answered by so many bytes and the end, U, when
// so many bytes have come, by one byte and the end, K by one byte.
//
//     relay_load serve ADDRESS PORT
//     relay_load get|put ADDRESS PORT CONNECTIONS BYTES    bytes of each; prints the seconds taken
//     relay_load connect ADDRESS PORT CONNECTIONS SECONDS BYTES   at once; each downloads; prints
//     how many relay_load keep ADDRESS PORT CONNECTIONS             prints "kept", holds them until
//     stdin ends
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

constexpr size_t RequestBytes = 16;
constexpr size_t BlockBytes = 256 * 1024;
std::vector<char> block(BlockBytes, 'x');

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

[[noreturn]] void die(const char* what) {
    perror(what);
    exit(1);
}

struct Connection {
    int fd = -1;
    char kind = 0;
    std::string
        request;  // of the server's: what has come of it; of the client's: what is to be sent
    uint64_t to_send = 0;     // bytes of data
    uint64_t to_receive = 0;  // the same; the end of file comes behind them
    bool expects_end = false, done = false;
};

class Poll {
  public:
    Poll() : fd_(epoll_create1(0)) {}
    void add(Connection& connection) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.ptr = &connection;
        if (epoll_ctl(fd_, EPOLL_CTL_ADD, connection.fd, &event) != 0) die("epoll_ctl");
    }
    template <typename Each>
    void wait(int timeout_ms, Each each) {
        epoll_event events[256];
        const int count = epoll_wait(fd_, events, 256, timeout_ms);
        for (int i = 0; i < count; i++)
            each(*static_cast<Connection*>(events[i].data.ptr));
    }

  private:
    int fd_;
};

sockaddr_in address_of(char** arguments) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    inet_pton(AF_INET, arguments[0], &address.sin_addr);
    address.sin_port = htons(static_cast<uint16_t>(atoi(arguments[1])));
    return address;
}

// Sends what is to be sent, as far as it goes. False: the connection is broken.
bool send_some(Connection& c) {
    while (c.to_send > 0) {
        const size_t size = c.to_send < BlockBytes ? static_cast<size_t>(c.to_send) : BlockBytes;
        const ssize_t sent = send(c.fd, block.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN;
        c.to_send -= static_cast<uint64_t>(sent);
    }
    return true;
}

// -- the backend

bool read_request(Connection& c) {
    char text[RequestBytes + 1] = {};
    const size_t missing = RequestBytes - c.request.size();
    const ssize_t size = recv(c.fd, text, missing, MSG_DONTWAIT);
    if (size == 0 || (size < 0 && errno != EAGAIN)) return false;
    if (size < 0) return true;
    c.request.append(text, static_cast<size_t>(size));
    if (c.request.size() < RequestBytes) return true;
    c.kind = c.request[0];
    const uint64_t bytes = strtoull(c.request.c_str() + 1, nullptr, 16);
    if (c.kind == 'D') c.to_send = bytes;
    if (c.kind == 'U') c.to_receive = bytes;
    if (c.kind == 'K') c.to_send = 1;
    return true;
}

// False: it is over.
bool serve_one(Connection& c) {
    if (c.kind == 0 && !read_request(c)) return false;
    if (c.kind == 0) return true;
    while (c.kind == 'U' && c.to_receive > 0) {
        const ssize_t size = recv(c.fd, block.data(), BlockBytes, MSG_DONTWAIT);
        if (size == 0) return false;
        if (size < 0) return errno == EAGAIN;
        c.to_receive -= static_cast<uint64_t>(size);
        if (c.to_receive == 0) c.to_send = 1;
    }
    if (!send_some(c)) return false;
    if (c.to_send > 0) return true;
    if (c.kind != 'K') return false;
    char byte;
    return recv(c.fd, &byte, 1, MSG_DONTWAIT) != 0;
}

void serve(char** arguments) {
    Connection listener;
    listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int yes = 1;
    setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    const sockaddr_in address = address_of(arguments);
    if (bind(listener.fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        die("bind");
    listen(listener.fd, 4096);
    Poll poll;
    poll.add(listener);
    puts("ready");
    fflush(stdout);
    while (true)
        poll.wait(-1, [&](Connection& c) {
            if (&c == &listener) {
                int fd;
                while ((fd = accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0) {
                    auto* client = new Connection;
                    client->fd = fd;
                    poll.add(*client);
                }
                return;
            }
            if (serve_one(c)) return;
            close(c.fd);
            delete &c;
        });
}

// -- the clients

void open_client(Connection& c, const sockaddr_in& address, char kind, uint64_t bytes) {
    c = Connection{};
    c.fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c.fd < 0) die("socket");
    if (connect(c.fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
        die("connect");
    char text[RequestBytes + 1];
    snprintf(text, sizeof(text), "%c%015llx", kind, static_cast<unsigned long long>(bytes));
    if (send(c.fd, text, RequestBytes, 0) != RequestBytes) die("send");
    c.kind = kind;
    if (kind == 'U') c.to_send = bytes;
    c.to_receive = kind == 'D' ? bytes : 1;
}

// Says which client it was: the daemons' access logs know it by its port.
[[noreturn]] void fail_client(const Connection& c, const char* what) {
    sockaddr_in address{};
    socklen_t length = sizeof(address);
    getsockname(c.fd, reinterpret_cast<sockaddr*>(&address), &length);
    fprintf(stderr, "client from port %u, %llu bytes are missing: %s\n", ntohs(address.sin_port),
            static_cast<unsigned long long>(c.to_receive), what);
    exit(1);
}

// Whether it has everything now.
bool use_client(Connection& c) {
    if (!send_some(c)) fail_client(c, strerror(errno));
    while (true) {
        const ssize_t size = recv(c.fd, block.data(), BlockBytes, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN) return c.kind == 'K' && c.to_receive == 0;
        if (size < 0) fail_client(c, strerror(errno));
        if (size == 0) {
            if (c.to_receive > 0) fail_client(c, "end of file");
            return true;
        }
        c.to_receive -= static_cast<uint64_t>(size);
    }
}

void transfer(char kind, char** arguments) {
    const sockaddr_in address = address_of(arguments);
    const size_t count = strtoul(arguments[2], nullptr, 10);
    std::vector<Connection> clients(count);
    Poll poll;
    const double begin = now();
    for (Connection& c : clients) {
        open_client(c, address, kind, strtoull(arguments[3], nullptr, 10));
        poll.add(c);
    }
    size_t left = count;
    while (left > 0)
        poll.wait(-1, [&](Connection& c) {
            if (c.done || !use_client(c)) return;
            c.done = true;
            left--;
            if (kind != 'K') close(c.fd);
        });
    printf("%.6f\n", now() - begin);
    if (kind != 'K') return;
    puts("kept");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
}

void connect_again_and_again(char** arguments) {
    const sockaddr_in address = address_of(arguments);
    std::vector<Connection> clients(strtoul(arguments[2], nullptr, 10));
    const double seconds = atof(arguments[3]);
    const uint64_t bytes = strtoull(arguments[4], nullptr, 10);
    Poll poll;
    const double begin = now();
    for (Connection& c : clients) {
        open_client(c, address, 'D', bytes);
        poll.add(c);
    }
    size_t done = 0;
    while (now() - begin < seconds)
        poll.wait(100, [&](Connection& c) {
            if (!use_client(c)) return;
            done++;
            close(c.fd);  // the server has ended first, so no port stays in TIME_WAIT here
            open_client(c, address, 'D', bytes);
            poll.add(c);
        });
    printf("%zu %.6f\n", done, now() - begin);
}

}  // namespace

int main(int argc, char** argv) {
    signal(SIGPIPE, SIG_IGN);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const std::string what = argc > 3 ? argv[1] : "";
    if (what == "serve") serve(argv + 2);
    if (what == "get" && argc == 6) return transfer('D', argv + 2), 0;
    if (what == "put" && argc == 6) return transfer('U', argv + 2), 0;
    if (what == "keep" && argc == 5) {
        char none[] = "0";
        char* arguments[] = {argv[2], argv[3], argv[4], none};
        return transfer('K', arguments), 0;
    }
    if (what == "connect" && argc == 7) return connect_again_and_again(argv + 2), 0;
    fputs("see the head of relay_load.cc\n", stderr);
    return 2;
}
