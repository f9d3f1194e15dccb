// SPDX-License-Identifier: MIT
//
// stepped_clock.so, loaded with LD_PRELOAD: the clock of the day is off by so many seconds as the
// file STEPPED_CLOCK holds (a 64-bit number), which a test changes while the program runs;
// CLOCK_MONOTONIC is as always. So a program meets a clock that steps, and no other program does.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t* offset;
static int (*next_clock_gettime)(clockid_t, struct timespec*);

static void open_offset(void) {
    void* const next = dlsym(RTLD_NEXT, "clock_gettime");
    memcpy(&next_clock_gettime, &next, sizeof next);
    const char* const path = getenv("STEPPED_CLOCK");
    if (path == NULL) return;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    void* const memory = mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (memory != MAP_FAILED) offset = memory;
}

// Before any sandbox; and earlier, if another library asks for the time in its own constructor.
__attribute__((constructor)) static void prepare(void) {
    if (next_clock_gettime == NULL) open_offset();
}

int clock_gettime(clockid_t clock, struct timespec* time) {
    prepare();
    const int result = next_clock_gettime(clock, time);
    const int is_of_the_day =
        clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
    if (result == 0 && is_of_the_day && offset != NULL) time->tv_sec += *offset;
    return result;
}

int gettimeofday(struct timeval* restrict time, void* restrict zone) {
    (void)zone;
    struct timespec now;
    const int result = clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return result;
}

time_t time(time_t* seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds != NULL) *seconds = now.tv_sec;
    return now.tv_sec;
}
