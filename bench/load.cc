// SPDX-License-Identifier: MIT
//
// The clients of the benchmark: TLS over TCP, HTTP/1.1 inside, the same for whoever is measured.
// bench/run compiles and starts it. It says nothing about proxies: all it sees is an address.
//
//     load connect  ADDRESS PORT [KEY=VALUE]...   one connection after the other, at_once at a time:
//                   connect, handshake, GET of path, answer, end
//     load latency  ADDRESS PORT,PORT... ...      one connection at a time, to each port in turn
//     load transfer ADDRESS PORT ...              at_once connections, each GETs path, or with
//                   upload=BYTES sends so much to it
//     load keep     ADDRESS PORT ...              at_once connections that stay; says "kept"; when
//                   stdin ends, asks each for path, and counts those that answer
//     load first    ADDRESS PORT ...              tries until one connection is served; says when,
//                   by CLOCK_MONOTONIC
//
//   at_once=N (16)   seconds=S (1; for connect)   count=N (0: no limit; for connect; for latency of
//   each port)   path=PATH (/1k)   names=N (10: n0.example.org to n9.example.org are asked for)
//   resume=1 (TLS 1.2, and each connection resumes an earlier session: no asymmetric cryptography)
//   sources=N (200 client addresses of 127.1.0.0/16)   rate=N (200 per second; for latency)
//   timeout=S (10: patience of a client)
//
// Prints one line of JSON.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr size_t BlockBytes = 256 * 1024;
char block[BlockBytes];

struct Options {
    std::string address, path = "/1k";
    std::vector<uint16_t> ports;
    double seconds = 1, timeout = 10;
    long at_once = 16, count = 0, names = 10, sources = 200, rate = 200, upload = 0;
    bool resume = false;
} options;

volatile sig_atomic_t must_stop;
SSL_CTX* context;
SSL_SESSION* session;  // the last one that was given to us
std::minstd_rand random_number(1);

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

[[noreturn]] void die(const char* what) {
    perror(what);
    exit(1);
}

enum class Outcome { Going, Ok, Refused, Reset, Ended, TimedOut, Wrong };
const char* const OutcomeNames[] = {"going", "ok", "refused", "reset", "ended", "timed_out", "wrong"};
constexpr size_t OutcomeCount = 7;

// One connection, from connect to its end. advance() does what can be done without waiting.
class Connection {
  public:
    enum class Until { End, Kept };  // Kept: the answer to a request after which the connection stays

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
            htonl(0x7f010001u + static_cast<uint32_t>(random_number() % static_cast<unsigned long>(options.sources)));
        if (bind(fd_, reinterpret_cast<sockaddr*>(&source), sizeof source) != 0) die("bind");
        sockaddr_in server{};
        server.sin_family = AF_INET;
        server.sin_port = htons(port);
        inet_pton(AF_INET, options.address.c_str(), &server.sin_addr);
        connect_error_ = 0;
        if (connect(fd_, reinterpret_cast<sockaddr*>(&server), sizeof server) != 0 && errno != EINPROGRESS)
            connect_error_ = errno;
        ssl_ = SSL_new(context);
        SSL_set_fd(ssl_, fd_);
        const std::string name =
            "n" + std::to_string(random_number() % static_cast<unsigned long>(options.names)) + ".example.org";
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
                const int result = SSL_write(ssl_, is_head ? request_.data() + sent_ : block, static_cast<int>(size));
                if (result <= 0) return what_now(result);
                if (is_head) sent_ += static_cast<size_t>(result);
                else if ((to_upload_ -= result) == 0) {
                    // The answer to this one says that all of it has been read.
                    request_ = "GET /1k HTTP/1.1\r\nHost: n0.example.org\r\nConnection: close\r\n\r\n";
                    sent_ = 0;
                }
            }
            state_ = State::Receive;
        }
        while (true) {
            const int result = SSL_read(ssl_, block, BlockBytes);
            if (result <= 0) return what_now(result);
            if (first_byte_ == 0) first_byte_ = now();
            if (received_ == 0 && result >= 12 && memcmp(block, "HTTP/1.1 200", 12) == 0) answers_++;
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
        request_ = (options.upload > 0 ? "POST /upload" : "GET " + options.path) + " HTTP/1.1\r\nHost: " + name + "\r\n";
        if (options.upload > 0) request_ += "Content-Length: " + std::to_string(options.upload) + "\r\n";
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
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? Outcome::Ended : Outcome::Wrong;
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
    explicit Crowd(long size) : connections_(static_cast<size_t>(size)), epoll_(epoll_create1(EPOLL_CLOEXEC)) {}

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
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[index].fd(), &event) != 0 && errno != EEXIST) die("epoll_ctl");
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
            if (connections_[index].fd() >= 0 && now() - connections_[index].begin() > options.timeout)
                each(index, Outcome::TimedOut);
    }

  private:
    std::vector<Connection> connections_;
    int epoll_;
    double next_look_ = now() + 0.25;
};

void print_counts(const long (&counts)[OutcomeCount]) {
    for (size_t i = 1; i < OutcomeCount; i++)
        printf("\"%s\": %ld, ", OutcomeNames[i], counts[i]);
}

// What happened to those that were not served: when, and what.
std::string troubles = "[";
void note_trouble(double at, double after, Outcome outcome) {
    if (troubles.size() > 4000) return;
    char text[100];
    snprintf(text, sizeof text, "%s[%.3f, %.3f, \"%s\"]", troubles.size() > 1 ? ", " : "", at, after,
             OutcomeNames[static_cast<size_t>(outcome)]);
    troubles += text;
}

void run_connect() {
    Crowd crowd(options.at_once);
    long counts[OutcomeCount] = {}, resumed = 0, started = 0;
    double longest = 0;
    size_t in_hand = 0;
    const double begin = now();
    puts("started");
    fflush(stdout);
    const auto may_start = [&] {
        return !must_stop && now() - begin < options.seconds && (options.count == 0 || started < options.count);
    };
    const auto start = [&](size_t index) {
        crowd.open(index, Connection::Until::End);
        started++;
        in_hand++;
    };
    for (size_t index = 0; index < crowd.size() && may_start(); index++)
        start(index);
    while (in_hand > 0)
        crowd.wait([&](size_t index, Outcome outcome) {
            Connection& connection = crowd.at(index);
            counts[static_cast<size_t>(outcome)]++;
            longest = std::max(longest, now() - connection.begin());
            if (outcome == Outcome::Ok && connection.was_resumed()) resumed++;
            if (outcome != Outcome::Ok) note_trouble(connection.begin() - begin, now() - connection.begin(), outcome);
            connection.close();
            in_hand--;
            // Nobody would try again at once.
            if (outcome == Outcome::Refused) usleep(1000);
            if (may_start()) start(index);
        });
    printf("{");
    print_counts(counts);
    printf("\"resumed\": %ld, \"longest_ms\": %.1f, \"seconds\": %.6f, \"troubles\": %s]}\n", resumed, longest * 1000,
           now() - begin, troubles.c_str());
}

double share(std::vector<double>& sorted, double part) {
    return sorted.empty() ? 0 : sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
}

void run_latency() {
    std::map<uint16_t, std::vector<double>> all;
    std::vector<uint16_t> order = options.ports;
    Connection connection;
    double due = now();
    // The first turns are for those who do something for the first time.
    for (long turn = -5; turn < options.count; turn++) {
        std::shuffle(order.begin(), order.end(), random_number);
        for (const uint16_t port : order) {
            due = std::max(due + 1.0 / static_cast<double>(options.rate), now() - 1);
            const double left = due - now();
            if (left > 0) usleep(static_cast<useconds_t>(left * 1e6));
            connection.open(port, Connection::Until::End, true);
            if (connection.advance() != Outcome::Ok) {
                fprintf(stderr, "port %d did not serve\n", port);
                exit(1);
            }
            if (turn >= 0) all[port].push_back((connection.first_byte() - connection.begin()) * 1e6);
            connection.close();
        }
    }
    printf("{");
    const char* comma = "";
    for (auto& [port, values] : all) {
        std::sort(values.begin(), values.end());
        printf("%s\"%d\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f}", comma, port, share(values, 0.5),
               share(values, 0.9), share(values, 0.99));
        comma = ", ";
    }
    printf("}\n");
}

void run_transfer() {
    Crowd crowd(options.at_once);
    uint64_t received = 0;
    long counts[OutcomeCount] = {};
    const double begin = now();
    size_t left = crowd.size();
    for (size_t index = 0; index < crowd.size(); index++)
        crowd.open(index, Connection::Until::End);
    while (left > 0)
        crowd.wait([&](size_t index, Outcome outcome) {
            counts[static_cast<size_t>(outcome)]++;
            received += crowd.at(index).received();
            crowd.at(index).close();
            left--;
        });
    printf("{");
    print_counts(counts);
    printf("\"received\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(received), now() - begin);
}

void run_keep() {
    Crowd crowd(options.at_once);
    long counts[OutcomeCount] = {};
    // So many at a time that nobody's queue of new connections overflows.
    size_t opened = 0, answered = 0;
    const size_t step = 50;
    while (answered < crowd.size()) {
        while (opened < crowd.size() && opened - answered < step)
            crowd.open(opened++, Connection::Until::Kept);
        crowd.wait([&](size_t index, Outcome outcome) {
            if (index >= opened || outcome == Outcome::Ok || outcome == Outcome::TimedOut) {
                if (outcome == Outcome::TimedOut && crowd.at(index).first_byte() > 0) return;
                answered++;
                if (outcome == Outcome::Ok) return;
            }
            fprintf(stderr, "a connection could not be kept: %s\n", OutcomeNames[static_cast<size_t>(outcome)]);
            exit(1);
        });
    }
    printf("kept\n");
    fflush(stdout);
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    size_t left = crowd.size();
    const auto end = [&](size_t index, Outcome outcome) {
        counts[static_cast<size_t>(outcome)]++;
        crowd.at(index).close();
        left--;
    };
    for (size_t index = 0; index < crowd.size(); index++) {
        crowd.at(index).ask_again();
        const Outcome outcome = crowd.at(index).advance();
        if (outcome != Outcome::Going) end(index, outcome);
    }
    while (left > 0)
        crowd.wait(end);
    printf("{");
    print_counts(counts);
    printf("\"kept\": %zu}\n", crowd.size());
}

void run_first() {
    Connection connection;
    const double end = now() + options.timeout;
    long tries = 0;
    while (now() < end) {
        tries++;
        connection.open(options.ports[0], Connection::Until::End, true);
        if (connection.advance() == Outcome::Ok) {
            printf("{\"at\": %.6f, \"tries\": %ld}\n", connection.first_byte(), tries);
            return;
        }
        connection.close();
        usleep(200);
    }
    fprintf(stderr, "not served within %.0f s\n", options.timeout);
    exit(1);
}

void read_option(const char* argument) {
    const char* equals = strchr(argument, '=');
    const std::string key(argument, equals ? static_cast<size_t>(equals - argument) : 0);
    const char* value = equals ? equals + 1 : "";
    const std::map<std::string, long*> numbers = {
        {"at_once", &options.at_once}, {"count", &options.count}, {"names", &options.names},
        {"sources", &options.sources}, {"rate", &options.rate},   {"upload", &options.upload}};
    if (const auto found = numbers.find(key); found != numbers.end()) *found->second = atol(value);
    else if (key == "seconds") options.seconds = atof(value);
    else if (key == "timeout") options.timeout = atof(value);
    else if (key == "path") options.path = value;
    else if (key == "resume") options.resume = atoi(value) != 0;
    else {
        fprintf(stderr, "load: what is %s?\n", argument);
        exit(2);
    }
}

void prepare() {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTERM, [](int) { must_stop = 1; });
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(block, 'x', sizeof block);
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, nullptr);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    if (options.resume) SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        fputs("see the head of load.cc\n", stderr);
        return 2;
    }
    const std::string_view what = argv[1];
    options.address = argv[2];
    for (char* port = strtok(argv[3], ","); port; port = strtok(nullptr, ","))
        options.ports.push_back(static_cast<uint16_t>(atoi(port)));
    for (int index = 4; index < argc; index++)
        read_option(argv[index]);
    prepare();
    if (what == "connect") run_connect();
    else if (what == "latency") run_latency();
    else if (what == "transfer") run_transfer();
    else if (what == "keep") run_keep();
    else if (what == "first") run_first();
    else return 2;
    return 0;
}
