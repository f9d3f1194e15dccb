// SPDX-License-Identifier: MIT
//
// count_allocations.so, to be preloaded: counts the calls of malloc and its kin, and the bytes that
// are in use, into the file that COUNT_ALLOCATIONS names: a pair of numbers for the process, and
// one for all its children (proxyd's only worker). Beyond that it is libc's allocation.
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct counts {
    uint64_t calls;
    uint64_t bytes;
};

static struct counts nobody[2];
static struct counts* counts = nobody;

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void __libc_free(void* memory);

static void* count(void* memory) {
    counts->calls++;
    counts->bytes += malloc_usable_size(memory);
    return memory;
}

void* malloc(size_t size) {
    return count(__libc_malloc(size));
}

void* calloc(size_t number, size_t size) {
    return count(__libc_calloc(number, size));
}

void* realloc(void* old, size_t size) {
    counts->bytes -= malloc_usable_size(old);
    return count(__libc_realloc(old, size));
}

void free(void* memory) {
    counts->bytes -= malloc_usable_size(memory);
    __libc_free(memory);
}

// What the parent has in use is the child's too.
static void in_child(void) {
    counts[1] = counts[0];
    counts++;
}

__attribute__((constructor)) static void begin(void) {
    const int file = open(getenv("COUNT_ALLOCATIONS"), O_RDWR | O_CLOEXEC);
    struct counts* const shared =
        mmap(NULL, sizeof nobody, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (file < 0 || shared == MAP_FAILED) abort();
    shared[0] = nobody[0];
    counts = shared;
    pthread_atfork(NULL, NULL, in_child);
}
