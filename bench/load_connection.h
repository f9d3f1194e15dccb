// SPDX-License-Identifier: MIT
//
// A TLS client that asks one server for something, and a crowd of them. For load.cc, which says
// what they do it for; neither knows of proxies.
#ifndef BENCH_LOAD_CONNECTION_H
#define BENCH_LOAD_CONNECTION_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace load {

constexpr size_t BlockBytes = 256 * 1024;
inline char block[BlockBytes];

struct Options {
    std::string address, path = "/1k";
    std::vector<uint16_t> ports;
    double seconds = 1, timeout = 10;
    long at_once = 16, count = 0, names = 10, sources = 200, rate = 200, upload = 0;
    bool resume = false;
};
inline Options options;

inline SSL_CTX* context;
inline SSL_SESSION* session;  // the last one that was given to us
inline std::minstd_rand random_number(1);

inline double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

[[noreturn]] inline void die(const char* what) {
    perror(what);
    exit(1);
}

enum class Outcome { Going, Ok, Refused, Reset, Ended, TimedOut, Wrong };
inline const char* const OutcomeNames[] = {"going", "ok",        "refused", "reset",
                                           "ended", "timed_out", "wrong"};
constexpr size_t OutcomeCount = 7;

// One connection, from connect to its end. advance() does what can be done without waiting.
class Connection {
  public:
    enum class Until {
        End,
        Kept
    };  // Kept: the answer to a request after which the connection stays

    void open(uint16_t port, Until until, bool is_blocking = false) {
        close();
        until_ = until;
        begin_ = now();
        first_byte_ = 0;
        sent_ = received_ = 0;
        answers_ = 0;
        to_upload_ = options.upload;
        state_ = State::Handshake;
        fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (is_blocking ? 0 : SOCK_NONBLOCK), 0);
        if (fd_ < 0) die("socket");
        const int yes = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (is_blocking) {
            const timeval patience{static_cast<time_t>(options.timeout), 0};
            setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        }
        sockaddr_in source{};
        source.sin_family = AF_INET;
        source.sin_addr.s_addr =
            htonl(0x7f010001u + static_cast<uint32_t>(random_number() %
                                                      static_cast<unsigned long>(options.sources)));
        if (bind(fd_, reinterpret_cast<sockaddr*>(&source), sizeof source) != 0) die("bind");
        sockaddr_in server{};
        server.sin_family = AF_INET;
        server.sin_port = htons(port);
        inet_pton(AF_INET, options.address.c_str(), &server.sin_addr);
        connect_error_ = 0;
        if (connect(fd_, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0 &&
            errno != EINPROGRESS)
            connect_error_ = errno;
        ssl_ = SSL_new(context);
        SSL_set_fd(ssl_, fd_);
        const std::string name =
            "n" + std::to_string(random_number() % static_cast<unsigned long>(options.names)) +
            ".example.org";
        SSL_set_tlsext_host_name(ssl_, name.c_str());
        if (options.resume && session) SSL_set_session(ssl_, session);
        SSL_set_connect_state(ssl_);
        request(name, until == Until::End);
    }

    // The second request of a connection that has been kept.
    void ask_again() {
        request("n0.example.org", true);
        until_ = Until::End;
        state_ = State::Send;
        sent_ = received_ = 0;
        to_upload_ = 0;
        answers_ = 0;
        begin_ = now();
    }

    Outcome advance() {
        if (connect_error_ != 0) return outcome_of(connect_error_);
        ERR_clear_error();
        if (state_ == State::Handshake) {
            const int result = SSL_connect(ssl_);
            if (result != 1) return what_now(result);
            state_ = State::Send;
        }
        if (state_ == State::Send) {
            while (sent_ < request_.size() || to_upload_ > 0) {
                const bool is_head = sent_ < request_.size();
                const auto size = is_head ? request_.size() - sent_
                                          : std::min(BlockBytes, static_cast<size_t>(to_upload_));
                const int result = SSL_write(ssl_, is_head ? request_.data() + sent_ : block,
                                             static_cast<int>(size));
                if (result <= 0) return what_now(result);
                if (is_head)
                    sent_ += static_cast<size_t>(result);
                else if ((to_upload_ -= result) == 0) {
                    // The answer to this one says that all of it has been read.
                    request_ =
                        "GET /1k HTTP/1.1\r\nHost: n0.example.org\r\nConnection: close\r\n\r\n";
                    sent_ = 0;
                }
            }
            state_ = State::Receive;
        }
        while (true) {
            const int result = SSL_read(ssl_, block, BlockBytes);
            if (result <= 0) return what_now(result);
            if (first_byte_ == 0) first_byte_ = now();
            if (received_ == 0 && result >= 12 && memcmp(block, "HTTP/1.1 200", 12) == 0)
                answers_++;
            received_ += static_cast<uint64_t>(result);
            if (until_ == Until::Kept && answers_ > 0 && received_ > 1000) return Outcome::Ok;
        }
    }

    void close() {
        if (fd_ < 0) return;
        if (options.resume && SSL_is_init_finished(ssl_)) {
            SSL_SESSION_free(session);
            session = SSL_get1_session(ssl_);
        }
        SSL_set_quiet_shutdown(ssl_, 1);
        SSL_shutdown(ssl_);  // else the session would be taken for a broken one, and not be resumed
        SSL_free(ssl_);
        ::close(fd_);
        fd_ = -1;
    }

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] double begin() const { return begin_; }
    [[nodiscard]] double first_byte() const { return first_byte_; }
    [[nodiscard]] uint64_t received() const { return received_; }
    [[nodiscard]] bool was_resumed() const { return SSL_session_reused(ssl_) == 1; }

  private:
    enum class State { Handshake, Send, Receive };

    void request(const std::string& name, bool is_last) {
        request_ = (options.upload > 0 ? "POST /upload" : "GET " + options.path) +
                   " HTTP/1.1\r\nHost: " + name + "\r\n";
        if (options.upload > 0)
            request_ += "Content-Length: " + std::to_string(options.upload) + "\r\n";
        if (is_last && options.upload == 0) request_ += "Connection: close\r\n";
        request_ += "\r\n";
    }

    static Outcome outcome_of(int error_number) {
        return error_number == ECONNREFUSED ? Outcome::Refused
               : error_number == 0          ? Outcome::Ended
                                            : Outcome::Reset;
    }

    Outcome what_now(int result) {
        const int error_number = errno;
        const int error = SSL_get_error(ssl_, result);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return Outcome::Going;
        if (error == SSL_ERROR_ZERO_RETURN) return answers_ > 0 ? Outcome::Ok : Outcome::Wrong;
        if (error == SSL_ERROR_SYSCALL) return outcome_of(error_number);
        // OpenSSL 3 calls an end of file without close_notify an error of its own.
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                   ? Outcome::Ended
                   : Outcome::Wrong;
    }

    int fd_ = -1, connect_error_ = 0, answers_ = 0;
    SSL* ssl_ = nullptr;
    State state_ = State::Handshake;
    Until until_ = Until::End;
    std::string request_;
    size_t sent_ = 0;
    uint64_t received_ = 0;
    long to_upload_ = 0;
    double begin_ = 0, first_byte_ = 0;
};

// Many connections at a time.
class Crowd {
  public:
    explicit Crowd(long size)
        : connections_(static_cast<size_t>(size)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

    Connection& at(size_t index) { return connections_[index]; }
    [[nodiscard]] size_t size() const { return connections_.size(); }

    void open(size_t index, Connection::Until until) {
        connections_[index].open(options.ports[0], until);
        watch(index);
    }

    void watch(size_t index) {
        epoll_event event{};
        event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
        event.data.u64 = index;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[index].fd(), &event) != 0 &&
            errno != EEXIST)
            die("epoll_ctl");
    }

    // Calls each(index, outcome) for those that are at their end.
    template <typename Each>
    void wait(Each each) {
        epoll_event events[256];
        const int count = epoll_wait(epoll_, events, 256, 100);
        for (int i = 0; i < count; i++) {
            const size_t index = events[i].data.u64;
            if (connections_[index].fd() < 0) continue;
            const Outcome outcome = connections_[index].advance();
            if (outcome != Outcome::Going) each(index, outcome);
        }
        if (now() < next_look_) return;
        next_look_ = now() + 0.25;
        for (size_t index = 0; index < size(); index++)
            if (connections_[index].fd() >= 0 &&
                now() - connections_[index].begin() > options.timeout)
                each(index, Outcome::TimedOut);
    }

  private:
    std::vector<Connection> connections_;
    int epoll_;
    double next_look_ = now() + 0.25;
};

}  // namespace load

#endif
