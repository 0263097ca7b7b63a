/* Files below a directory, and nothing else: openat2(2), which looks up a whole path without ever leaving the directory
 * (RESOLVE_BENEATH), whatever symlinks there are and whoever changes them meanwhile.
 */
#ifndef SWHTTP_OPENAT2_H
#define SWHTTP_OPENAT2_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
/* From <linux/openat2.h> and <linux/fs.h>, which the systems that packages are built on may lack. */
#define SW_RESOLVE_NO_MAGICLINKS 0x02
#define SW_RESOLVE_BENEATH 0x08
#define SW_RESOLVE_CACHED 0x20
#define SW_RWF_NOWAIT 8

typedef struct {
    uint64_t flags;
    uint64_t mode;
    uint64_t resolve;
} sw_open_how;

#define SW_SYS_CACHESTAT 451 /* of all architectures */
#define SW_STEP_BYTES 65536ULL

#define SW_RACES 16 /* how often a lookup is begun anew that was overtaken by a rename */

/* Codings of a representation (RFC 9110 §8.4.1), in the order in which we like them. */
#define SW_CODING_BR 0
#define SW_CODING_ZSTD 1
#define SW_CODING_GZIP 2
#define SW_CODING_IDENTITY 3
#define SW_CODINGS 4

#define SW_SUFFIX_BYTES 5 /* of the longest, and its NUL */

static const char *const SW_CODING_SUFFIX[SW_CODINGS] = {".br", ".zst", ".gz", ""};
static const char *const SW_CODING_NAME[SW_CODINGS] = {"br", "zstd", "gzip", "identity"};

typedef struct {
    int fd;             /* -1: there is none */
    int error;          /* why, as errno; 0: `directory`, or no coding that is wanted */
    uint8_t directory;
    uint8_t coding;
    uint64_t size;
    int64_t mtime_s;
    uint32_t mtime_ns;
} sw_found;

/* Open `path` below `dir` for reading. `cached`: only if that is known without asking a file system, else EAGAIN. A
 * FIFO is opened too, without waiting; the caller looks at what it has got. */
static inline int sw_open_beneath(int dir, const char *path, int cached)
{
    sw_open_how how = {O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0, SW_RESOLVE_BENEATH | SW_RESOLVE_NO_MAGICLINKS};
    if (cached)
        how.resolve |= SW_RESOLVE_CACHED;
    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

static inline int sw_open_again(int dir, const char *path, int cached)
{
    int fd = -1;
    for (int i = 0; i < SW_RACES; i++) {
        fd = sw_open_beneath(dir, path, cached);
        if (fd >= 0 || cached || errno != EAGAIN)
            break;
    }
    return fd;
}

/* Find the representation of `path` (with room for SW_SUFFIX_BYTES behind its `length`) whose coding comes first in
 * `wanted`. One that is older than the file itself, by the second, is none: it was made of another content.
 * 1: `found` says; 0: only somebody who may wait can tell. */
static inline int sw_find_file(int dir, char *path, uint32_t length, const uint8_t *wanted, int count, int cached,
                               sw_found *found)
{
    struct stat about, other;
    int fd, sibling;
    memset(found, 0, sizeof *found);
    found->fd = -1;
    fd = sw_open_again(dir, path, cached);
    if (fd < 0) {
        found->error = errno;
        return !(cached && found->error == EAGAIN);
    }
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        found->directory = S_ISDIR(about.st_mode);
        found->error = found->directory ? 0 : ENOENT;
        close(fd);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        if (wanted[i] == SW_CODING_IDENTITY) {
            found->fd = fd;
            found->coding = SW_CODING_IDENTITY;
            break;
        }
        strcpy(path + length, SW_CODING_SUFFIX[wanted[i]]);
        sibling = sw_open_again(dir, path, cached);
        path[length] = 0;
        if (sibling < 0) {
            if (cached && errno == EAGAIN) {
                close(fd);
                return 0;
            }
            continue;
        }
        if (fstat(sibling, &other) != 0 || !S_ISREG(other.st_mode) || other.st_mtim.tv_sec < about.st_mtim.tv_sec) {
            close(sibling);
            continue;
        }
        close(fd);
        about = other;
        found->fd = sibling;
        found->coding = wanted[i];
        break;
    }
    if (found->fd < 0)
        close(fd);
    found->size = (uint64_t)about.st_size;
    found->mtime_s = (int64_t)about.st_mtim.tv_sec;
    found->mtime_ns = (uint32_t)about.st_mtim.tv_nsec;
    return 1;
}

/* Read what is in memory already: bytes; -1 with EAGAIN when that would wait, or with another error. */
static inline ssize_t sw_read_now(int fd, void *to, size_t length, uint64_t at)
{
    ssize_t n = -1;
    errno = EAGAIN;
#ifdef SYS_preadv2 /* by itself: see sw_recv (system.pxd) */
    struct iovec piece = {to, length};
    n = syscall(SYS_preadv2, fd, &piece, 1UL, (unsigned long)at, 0UL, SW_RWF_NOWAIT);
#endif
    if (n < 0 && errno != EAGAIN) /* a file system that cannot say */
        errno = EAGAIN;
    return n;
}

/* Ask for all pages of a part of a file: 1: all are in memory, or being read; 0: not all; -1: the kernel does not say.
 * cachestat(2) is in Linux since 6.5; from 6.14 on only who might write the file is told. */
static inline int sw_all_pages(int fd, uint64_t at, uint64_t length)
{
    static _Atomic int unknown; /* to this kernel: then it is not asked again */
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    struct { uint64_t from, length; } part = {at, length};
    struct { uint64_t cached, dirty, writing, evicted, recently; } pages;
    if (atomic_load_explicit(&unknown, memory_order_relaxed))
        return -1;
    if (syscall(SW_SYS_CACHESTAT, fd, &part, &pages, 0U) != 0) {
        if (errno == ENOSYS)
            atomic_store_explicit(&unknown, 1, memory_order_relaxed);
        return -1;
    }
    return pages.cached >= (at + length + page - 1) / page - at / page;
}

/* The same by a look at one byte of each step, and at the last. I/O threads read whole steps (outbox), so whatever
 * ranges clients ask for, of a step there is all in memory or nothing, unless the kernel was short of it. */
static inline int sw_in_steps(int fd, uint64_t at, uint64_t length)
{
    char byte;
    for (uint64_t look = at; look < at + length; look = (look / SW_STEP_BYTES + 1) * SW_STEP_BYTES)
        if (sw_read_now(fd, &byte, 1, look) < 0)
            return 0;
    return length == 1 || sw_read_now(fd, &byte, 1, at + length - 1) >= 0;
}

/* Are these bytes in memory, so that sending them waits for no disk? A file system that cannot say counts as slow. The
 * last byte is looked at in any case: a page that is only on its way counts with the others, and the last comes last. */
static inline int sw_in_memory(int fd, uint64_t at, uint64_t length)
{
    char byte;
    int all = sw_all_pages(fd, at, length);
    if (all < 0)
        return sw_in_steps(fd, at, length);
    return all && sw_read_now(fd, &byte, 1, at + length - 1) >= 0;
}

#endif
