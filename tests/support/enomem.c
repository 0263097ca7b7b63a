/* Preloaded: makes every Nth allocation fail that the compiled core of swhttp asks for itself, and counts them.
 *
 * What Python asks for comes from the interpreter's own code and is left alone, but for the next so many of certain
 * sizes, in one process: those that a test means, where Python says MemoryError. The words are in the file that
 * SWHTTP_TESTS_ENOMEM names:
 * | N, 0: none fails | how many were asked for | ... failed | next so many | from this size | to this | of this pid | */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

static _Atomic int *words;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SWHTTP_TESTS_ENOMEM");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED)
        words = at;
}

static int is_meant(size_t size)
{
    if (!words || atomic_load(&words[3]) <= 0 || size < (size_t)words[4] || size > (size_t)words[5]
        || getpid() != words[6] || atomic_fetch_sub(&words[3], 1) <= 0)
        return 0;
    atomic_fetch_add(&words[2], 1);
    errno = ENOMEM;
    return 1;
}

static int fails(void *caller)
{
    int every = words ? atomic_load(&words[0]) : 0;
    Dl_info about;
    if (every == 0 || !dladdr(caller, &about) || !about.dli_fname
        || !(strstr(about.dli_fname, "/swhttp/reactor/") || strstr(about.dli_fname, "/swhttp/ipc/")))
        return 0;
    if (atomic_fetch_add(&words[1], 1) % every != every - 1)
        return 0;
    atomic_fetch_add(&words[2], 1);
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return is_meant(size) || fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return is_meant(size) || fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}
