// SPDX-License-Identifier: MIT
//
// The clients of the benchmark: TLS over TCP, HTTP/1.1 inside, the same for whoever is measured.
// bench/run compiles and starts it. It says nothing about proxies: all it sees is an address.
//
//     load connect  ADDRESS PORT [KEY=VALUE]...   one connection after the other, at_once at a
//     time:
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
#include "load_connection.h"

#include <signal.h>
#include <sys/resource.h>

#include <map>
#include <string_view>

using load::context, load::Connection, load::Crowd, load::now, load::options, load::Outcome,
    load::OutcomeCount;
using load::OutcomeNames, load::random_number, load::block;

namespace {

volatile sig_atomic_t must_stop;

void print_counts(const long (&counts)[OutcomeCount]) {
    for (size_t i = 1; i < OutcomeCount; i++)
        printf("\"%s\": %ld, ", OutcomeNames[i], counts[i]);
}

// What happened to those that were not served: when, and what.
std::string troubles = "[";
void note_trouble(double at, double after, Outcome outcome) {
    if (troubles.size() > 4000) return;
    char text[100];
    snprintf(text, sizeof text, "%s[%.3f, %.3f, \"%s\"]", troubles.size() > 1 ? ", " : "", at,
             after, OutcomeNames[static_cast<size_t>(outcome)]);
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
        return !must_stop && now() - begin < options.seconds &&
               (options.count == 0 || started < options.count);
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
            if (outcome != Outcome::Ok)
                note_trouble(connection.begin() - begin, now() - connection.begin(), outcome);
            connection.close();
            in_hand--;
            // Nobody would try again at once.
            if (outcome == Outcome::Refused) usleep(1000);
            if (may_start()) start(index);
        });
    printf("{");
    print_counts(counts);
    printf("\"resumed\": %ld, \"longest_ms\": %.1f, \"seconds\": %.6f, \"troubles\": %s]}\n",
           resumed, longest * 1000, now() - begin, troubles.c_str());
}

double share(std::vector<double>& sorted, double part) {
    return sorted.empty()
               ? 0
               : sorted[static_cast<size_t>(part * static_cast<double>(sorted.size() - 1))];
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
            if (turn >= 0)
                all[port].push_back((connection.first_byte() - connection.begin()) * 1e6);
            connection.close();
        }
    }
    printf("{");
    const char* comma = "";
    for (auto& [port, values] : all) {
        std::sort(values.begin(), values.end());
        printf("%s\"%d\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f}", comma, port,
               share(values, 0.5), share(values, 0.9), share(values, 0.99));
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
    printf("\"received\": %llu, \"seconds\": %.6f}\n", static_cast<unsigned long long>(received),
           now() - begin);
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
            fprintf(stderr, "a connection could not be kept: %s\n",
                    OutcomeNames[static_cast<size_t>(outcome)]);
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
    if (const auto found = numbers.find(key); found != numbers.end())
        *found->second = atol(value);
    else if (key == "seconds")
        options.seconds = atof(value);
    else if (key == "timeout")
        options.timeout = atof(value);
    else if (key == "path")
        options.path = value;
    else if (key == "resume")
        options.resume = atoi(value) != 0;
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
    if (what == "connect")
        run_connect();
    else if (what == "latency")
        run_latency();
    else if (what == "transfer")
        run_transfer();
    else if (what == "keep")
        run_keep();
    else if (what == "first")
        run_first();
    else
        return 2;
    return 0;
}
