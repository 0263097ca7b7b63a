/* Files without a name: they are gone when the last fd is, whoever dies. */
#ifndef SWHTTP_TEMPFILE_H
#define SWHTTP_TEMPFILE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef O_TMPFILE
#define O_TMPFILE (020000000 | O_DIRECTORY)
#endif

/* A new one in `directory`, for reading and writing, close-on-exec; -1 with errno. */
static inline int sw_temp_file(const char *directory)
{
    char name[4096];
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (snprintf(name, sizeof name, "%s/swhttp-XXXXXX", directory) >= (int)sizeof name) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(name, O_CLOEXEC); /* this file system knows no files without a name */
    if (fd >= 0)
        unlink(name);
    return fd;
}

/* Write all of it at `at`: 1, or 0 with errno. */
static inline int sw_write_all(int fd, const unsigned char *data, size_t length, uint64_t at)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, (off_t)at);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return 0;
        }
        if (n == 0) {
            errno = ENOSPC;
            return 0;
        }
        data += n;
        length -= (size_t)n;
        at += (uint64_t)n;
    }
    return 1;
}

/* Why a file in `directory` could not be made or written, for the log. */
static inline void sw_temp_why(char *text, size_t room, const char *directory, int error)
{
    char reason[64];
    snprintf(text, room, "directory=%.64s: %s", directory, strerror_r(error, reason, sizeof reason));
}

/* Has the file an end before `end`? */
static inline int sw_is_shorter(int fd, uint64_t end)
{
    struct stat about;
    return fstat(fd, &about) == 0 && (uint64_t)about.st_size < end;
}

/* The path of an open file; 0: it is not known. Otherwise its length, with a 0 behind it, at most `room`. */
static inline size_t sw_path_of(int fd, char *path, size_t room)
{
    char link[32];
    ssize_t length;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, room - 1);
    if (length < 0)
        length = 0; /* no /proc in this root */
    path[length] = 0;
    return (size_t)length;
}

static inline int sw_is_regular(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

#endif
