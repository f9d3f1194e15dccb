// SPDX-License-Identifier: MIT
//
// load_client ADDRESS PORT [KEY=VALUE]...: so many clients at once, one connection each, the next
// one as soon as one has ended, or, with a rate, when its time has come. Each connects from one of
// many addresses, sends a hello, and reads the answer. Says "started", and at the end one line of
// JSON: how many got the answer that was expected, what happened to each other one, and how long
// they had to wait.
//
//   at_once=N       clients at a time (200)
//   seconds=N       for so long (5); SIGTERM ends it earlier
//   count=N         ends after so many clients (0: when the time is over)
//   sources=N       different client addresses (250)
//   source=ADDRESS  the first of them (127.1.0.1)
//   timeout_ms=N    patience of a client (20000)
//   hello=FILE      what each one sends
//   expect=TEXT     what its answer begins with ("HTTP/1.1 200")
//   until=end       the answer ends with the connection ("end"), or is enough as soon as it is
//                   recognised ("answer")
//   rate=N          new clients each second, as long as no more than at_once are there (0: as many
//                   as there can be)
//   progress=N      says "done COUNT" whenever so many more have got their answer
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AnswerBytesMax 96
#define FailuresMax 2000

enum outcome { Ok, Refused, Reset, EndOfFile, Wrong, TimedOut, Other, OutcomeCount, Going };
static const char* const OutcomeNames[] = {"ok",    "refused",   "reset", "end_of_file",
                                           "wrong", "timed_out", "other"};

struct client {
    int fd;  // -1: none
    int is_connected;
    size_t answer_size;
    char answer[AnswerBytesMax];  // its beginning
    struct sockaddr_in source;
    uint64_t started_us;
};

struct failure {
    enum outcome outcome;
    int error_number;
    struct sockaddr_in source;
    uint64_t at_us, after_us;
    char answer[AnswerBytesMax];
};

static struct sockaddr_in server;
static long at_once = 200, seconds = 5, count_max, sources = 250, timeout_ms = 20000, progress,
            rate;
static const char *hello_file = "/dev/stdin", *expected = "HTTP/1.1 200", *until = "end",
                  *first = "127.1.0.1";
static struct in_addr first_source;
static char hello[65536];
static size_t hello_size;

static volatile sig_atomic_t must_stop;
static int epoll_fd;
static struct client* clients;
static long started_count, in_hand, retransmitted;
static long counts[OutcomeCount];
static struct failure failures[FailuresMax];
static long failure_count;
static uint32_t* delays_us;  // of all that are ok
static long delays_room;
static uint64_t longest_connect_us, begin_us;

static void stop(int number) {
    (void)number;
    must_stop = 1;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static void start_client(uint32_t index) {
    struct client* client = &clients[index];
    memset(client, 0, sizeof *client);
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0) fail("socket");
    const int yes = 1;
    setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    const uint32_t source = ntohl(first_source.s_addr) + (uint32_t)(started_count % sources);
    client->source = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    if (bind(client->fd, (struct sockaddr*)&client->source, sizeof client->source) != 0)
        fail("bind");
    client->started_us = now_us();
    if (connect(client->fd, (struct sockaddr*)&server, sizeof server) != 0 && errno != EINPROGRESS)
        fail("connect");
    socklen_t size = sizeof client->source;
    getsockname(client->fd, (struct sockaddr*)&client->source, &size);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.u32 = index};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0) fail("epoll_ctl");
    started_count++;
    in_hand++;
}

static void remember_delay(uint64_t microseconds) {
    if (counts[Ok] >= delays_room) {
        delays_room = delays_room ? 2 * delays_room : 65536;
        delays_us = realloc(delays_us, (size_t)delays_room * sizeof *delays_us);
        if (delays_us == NULL) fail("realloc");
    }
    delays_us[counts[Ok]] = (uint32_t)microseconds;
}

static void end_client(struct client* client, enum outcome outcome, int error_number) {
    const uint64_t now = now_us();
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    getsockopt(client->fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    if (info.tcpi_total_retrans > 0) retransmitted++;
    if (outcome == Ok) {
        remember_delay(now - client->started_us);
    } else if (failure_count < FailuresMax) {
        struct failure* failure = &failures[failure_count++];
        *failure = (struct failure){outcome,
                                    error_number,
                                    client->source,
                                    client->started_us - begin_us,
                                    now - client->started_us,
                                    {0}};
        memcpy(failure->answer, client->answer, AnswerBytesMax - 1);
    }
    counts[outcome]++;
    if (outcome == Ok && progress > 0 && counts[Ok] % progress == 0) {
        printf("done %ld\n", counts[Ok]);
        fflush(stdout);
    }
    close(client->fd);
    client->fd = -1;
    in_hand--;
}

static enum outcome outcome_of_error(int error_number) {
    return error_number == ECONNREFUSED                          ? Refused
           : error_number == ECONNRESET || error_number == EPIPE ? Reset
                                                                 : Other;
}

static int is_expected(const struct client* client) {
    const size_t size = strlen(expected);
    return client->answer_size >= size && memcmp(client->answer, expected, size) == 0;
}

// What became of it, or Going; *error_number is that of a failed call.
static enum outcome read_answer(struct client* client, int* error_number) {
    static char part[65536];
    while (1) {
        const ssize_t size = recv(client->fd, part, sizeof part, 0);
        if (size < 0) {
            *error_number = errno;
            return errno == EAGAIN ? Going : outcome_of_error(errno);
        }
        if (size == 0)
            return is_expected(client) ? Ok : client->answer_size > 0 ? Wrong : EndOfFile;
        const size_t room = sizeof client->answer - client->answer_size;
        const size_t taken = (size_t)size < room ? (size_t)size : room;
        memcpy(client->answer + client->answer_size, part, taken);
        client->answer_size += taken;
        if (strcmp(until, "answer") == 0 && is_expected(client)) return Ok;
    }
}

static enum outcome send_hello(struct client* client, int* error_number) {
    socklen_t size = sizeof *error_number;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, error_number, &size);
    if (*error_number != 0) return outcome_of_error(*error_number);
    client->is_connected = 1;
    const uint64_t delay_us = now_us() - client->started_us;
    if (delay_us > longest_connect_us) longest_connect_us = delay_us;
    if (send(client->fd, hello, hello_size, MSG_NOSIGNAL) >= 0) return Going;
    *error_number = errno;
    return outcome_of_error(errno);
}

static void on_event(struct client* client, uint32_t events) {
    enum outcome outcome = Going;
    int error_number = 0;
    const uint32_t end = EPOLLHUP | EPOLLERR;
    if (!client->is_connected && (events & (EPOLLOUT | end)))
        outcome = send_hello(client, &error_number);
    if (outcome == Going && (events & (EPOLLIN | EPOLLRDHUP | end)))
        outcome = read_answer(client, &error_number);
    if (outcome != Going) end_client(client, outcome, error_number);
}

static void end_those_who_waited_too_long(void) {
    const uint64_t now = now_us();
    for (long index = 0; index < at_once; index++)
        if (clients[index].fd >= 0 && now - clients[index].started_us > (uint64_t)timeout_ms * 1000)
            end_client(&clients[index], TimedOut, 0);
}

static int may_start(void) {
    return !must_stop && now_us() - begin_us < (uint64_t)seconds * 1000000 &&
           (count_max == 0 || started_count < count_max);
}

// Those whose time has come; returns how long it is until the next one, in milliseconds.
static int start_those_due(void) {
    static uint64_t next_us;
    const uint64_t now = now_us();
    if (next_us + 1000000 < now) next_us = now;  // no burst after a stall
    for (long index = 0; index < at_once && next_us <= now && may_start(); index++) {
        if (clients[index].fd >= 0) continue;
        start_client((uint32_t)index);
        next_us += 1000000 / (uint64_t)rate;
    }
    return next_us > now ? (int)((next_us - now) / 1000) + 1 : 1;
}

static int compare(const void* left, const void* right) {
    const uint32_t a = *(const uint32_t*)left, b = *(const uint32_t*)right;
    return a < b ? -1 : a > b;
}

static double delay_ms(double share) {
    if (counts[Ok] == 0) return 0;
    return delays_us[(long)(share * (double)(counts[Ok] - 1))] / 1000.0;
}

static void print_text(const char* text) {
    putchar('"');
    for (; *text; text++)
        printf(*text < ' ' || *text > '~' || *text == '"' || *text == '\\' ? "\\u%04x" : "%c",
               (unsigned char)*text);
    putchar('"');
}

static void print_failure(const struct failure* failure) {
    char source[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &failure->source.sin_addr, source, sizeof source);
    printf(
        "{\"outcome\": \"%s\", \"error\": \"%s\", \"client\": \"%s:%d\", \"at_ms\": %.1f, "
        "\"after_ms\": %.1f, "
        "\"answer\": ",
        OutcomeNames[failure->outcome],
        failure->error_number ? strerror(failure->error_number) : "", source,
        ntohs(failure->source.sin_port), (double)failure->at_us / 1000,
        (double)failure->after_us / 1000);
    print_text(failure->answer);
    putchar('}');
}

static void print_summary(void) {
    if (counts[Ok] > 0) qsort(delays_us, (size_t)counts[Ok], sizeof *delays_us, compare);
    printf("{\"clients\": %ld, \"seconds\": %.3f, ", started_count,
           (double)(now_us() - begin_us) / 1e6);
    for (int outcome = 0; outcome < OutcomeCount; outcome++)
        printf("\"%s\": %ld, ", OutcomeNames[outcome], counts[outcome]);
    printf(
        "\"retransmitted\": %ld, \"longest_connect_ms\": %.1f, \"median_ms\": %.1f, \"p99_ms\": "
        "%.1f, "
        "\"longest_ms\": %.1f, \"failures\": [",
        retransmitted, (double)longest_connect_us / 1000, delay_ms(0.5), delay_ms(0.99),
        delay_ms(1));
    for (long index = 0; index < failure_count; index++) {
        if (index > 0) printf(", ");
        print_failure(&failures[index]);
    }
    printf("]}\n");
}

static void read_arguments(int argc, char** argv) {
    if (argc < 3 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
        fprintf(stderr, "usage: load_client ADDRESS PORT [KEY=VALUE]...\n");
        exit(2);
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[2]));
    const struct {
        const char* key;
        long* number;
        const char** text;
    } keys[] = {{"source", NULL, &first},    {"at_once", &at_once, NULL},
                {"seconds", &seconds, NULL}, {"count", &count_max, NULL},
                {"sources", &sources, NULL}, {"hello", NULL, &hello_file},
                {"expect", NULL, &expected}, {"timeout_ms", &timeout_ms, NULL},
                {"until", NULL, &until},     {"progress", &progress, NULL},
                {"rate", &rate, NULL}};
    for (int index = 3; index < argc; index++) {
        const char* equals = strchr(argv[index], '=');
        size_t key = 0;
        while (
            key < sizeof keys / sizeof *keys &&
            !(equals && strncmp(argv[index], keys[key].key, (size_t)(equals - argv[index])) == 0))
            key++;
        if (key == sizeof keys / sizeof *keys) {
            fprintf(stderr, "load_client: what is %s?\n", argv[index]);
            exit(2);
        }
        if (keys[key].number) *keys[key].number = atol(equals + 1);
        if (keys[key].text) *keys[key].text = equals + 1;
    }
    if (inet_pton(AF_INET, first, &first_source) != 1) fail(first);
}

static void read_hello(void) {
    FILE* file = fopen(hello_file, "rb");
    if (file == NULL) fail(hello_file);
    hello_size = fread(hello, 1, sizeof hello, file);
    fclose(file);
}

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char** argv) {
    read_arguments(argc, argv);
    read_hello();
    raise_descriptor_limit();
    signal(SIGTERM, stop);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clients = calloc((size_t)at_once, sizeof *clients);
    if (epoll_fd < 0 || clients == NULL) fail("epoll_create1 or calloc");
    puts("started");
    fflush(stdout);
    begin_us = now_us();
    for (long index = 0; index < at_once; index++)
        clients[index].fd = -1;
    for (long index = 0; rate == 0 && index < at_once && may_start(); index++)
        start_client((uint32_t)index);
    while (in_hand > 0 || (rate > 0 && may_start())) {
        struct epoll_event events[256];
        const int patience_ms = rate > 0 && may_start() ? start_those_due() : 200;
        const int count = epoll_wait(epoll_fd, events, 256, patience_ms);
        for (int index = 0; index < count; index++) {
            const uint32_t number = events[index].data.u32;
            on_event(&clients[number], events[index].events);
            if (rate == 0 && clients[number].fd < 0 && may_start()) start_client(number);
        }
        if (count == 0 || started_count % 1000 == 0) end_those_who_waited_too_long();
    }
    print_summary();
    return 0;
}
