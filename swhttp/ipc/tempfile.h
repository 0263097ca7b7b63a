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

static inline int sw_is_regular(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

#endif
