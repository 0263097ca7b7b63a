/* Files between master and worker: one SEQPACKET socket pair for each slot and reactor, made before the first fork.
 *
 * A message is 8 bytes, the request_id, and one fd (SCM_RIGHTS). It is sent before the descriptor or frame that refers
 * to it is published, so a receiver never waits for one, and in the order of those.
 */
#ifndef SWHTTP_FDPASS_H
#define SWHTTP_FDPASS_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "swhttp/ipc/crashpoint.h"

#define SW_FD_NONE (-1)
#define SW_FD_BROKEN (-2)
#define SW_FD_MOST_MESSAGES 4096 /* no socket's buffer holds more, not even empty ones */

/* 1: sent (the fd stays the caller's as well); 0: no room at the moment, or no memory. */
static inline int sw_fd_send(int channel, int fd, uint64_t request_id)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {&request_id, sizeof request_id};
    struct msghdr message;
    ssize_t sent;
    memset(&control, 0, sizeof control);
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = sizeof control;
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    SW_CRASH_POINT("file-to-send");
    do
        sent = sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    SW_CRASH_POINT("file-sent");
    return sent == (ssize_t)sizeof request_id;
}

/* The next fd, close-on-exec, and whose it is; SW_FD_NONE: there is none; SW_FD_BROKEN: not a message of ours. */
static inline int sw_fd_receive(int channel, uint64_t *request_id)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec piece = {request_id, sizeof *request_id};
    struct msghdr message;
    struct cmsghdr *head;
    ssize_t got;
    int fd = SW_FD_BROKEN;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = CMSG_LEN(sizeof(int)); /* CMSG_SPACE has room for a second fd, and we would not see it */
    do
        got = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return SW_FD_NONE;
    SW_CRASH_POINT("file-received");
    head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS
        && head->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
    if (got == (ssize_t)sizeof *request_id && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
        return fd;
    if (fd >= 0)
        close(fd);
    return SW_FD_BROKEN;
}

/* Close what is in the channel: those who sent it, or whom it was for, are dead. */
static inline void sw_fd_drain(int channel)
{
    uint64_t request_id;
    int fd, n;
    /* Bounded, because an empty message and the end of the stream, which has no end, look alike. */
    for (n = 0; n < SW_FD_MOST_MESSAGES && (fd = sw_fd_receive(channel, &request_id)) != SW_FD_NONE; n++)
        if (fd >= 0)
            close(fd);
}

#endif
