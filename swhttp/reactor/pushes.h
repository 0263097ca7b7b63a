/* Packets of user processes: one frame of EVENT_WS_SESSION each, as in a response ring, over a SEQPACKET socket that all
 * user processes share. Foreign code has the other end and may send anything, so nothing is believed: a packet is one
 * whole frame that sw_frame_read finds right, or it is dropped. A body too large for a packet comes in a memfd
 * (SCM_RIGHTS, EVENT_WS_SESSION_SHM), which is read and never mapped: its owner can still shrink it. Only files in memory
 * are read, which a seal can be asked of: no read of them waits for anybody.
 *
 * One fd more may come, behind that file: any, which is kept open until the packet has been acted on. So its sender, who
 * has the other end of a pipe, hears of that.
 */
#ifndef SWHTTP_PUSHES_H
#define SWHTTP_PUSHES_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "swhttp/ipc/frame.h"

#define SW_PUSH_PACKET_BYTES 32768 /* limits.PUSH_PACKET_BYTES */
#define SW_PUSH_MOST_BYTES 524288  /* limits.WS_PUSH_BYTES */

typedef struct {
    sw_frame frame;
    const unsigned char *head;
    const unsigned char *body;
    unsigned char *memory; /* of a body that came in a file: to be freed */
    int ticket;            /* to be closed when it has been acted on; -1: none */
    _Alignas(8) unsigned char packet[SW_PUSH_PACKET_BYTES];
} sw_push;

/* The body that came in a file, in memory of its own; NULL: it is not there, or there is no memory. */
static inline unsigned char *sw_push_read_file(int fd, uint32_t length)
{
    unsigned char *memory;
    uint32_t done = 0;
    if (length > SW_PUSH_MOST_BYTES || fcntl(fd, F_GET_SEALS) < 0)
        return NULL;
    memory = (unsigned char *)malloc(length);
    while (memory != NULL && done < length) {
        ssize_t got = pread(fd, memory + done, length - done, done);
        if (got <= 0) {
            if (got < 0 && errno == EINTR)
                continue;
            free(memory);
            return NULL;
        }
        done += (uint32_t)got;
    }
    return memory;
}

/* The next packet: 1: `push` holds a frame, to be ended by sw_push_end; 0: one that was dropped; -1: there is none;
 * -2: there will be none any more: nobody has the other end, or somebody has shut it. */
static inline int sw_push_receive(int fd, sw_push *push)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec piece = {push->packet, sizeof push->packet};
    struct msghdr message;
    struct cmsghdr *head;
    sw_frame *frame = &push->frame;
    ssize_t got;
    int fds[2] = {-1, -1}, is_right = 0;
    memset(&message, 0, sizeof message);
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = &control;
    message.msg_controllen = CMSG_LEN(2 * sizeof(int)); /* and no padding, in which one more could hide */
    do
        got = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return -1;
    if (got == 0) { /* an empty packet and the end look alike */
        struct pollfd end = {fd, POLLRDHUP, 0};
        if (poll(&end, 1, 0) == 1 && (end.revents & (POLLRDHUP | POLLHUP | POLLERR)))
            return -2;
    }
    head = CMSG_FIRSTHDR(&message);
    if (head != NULL && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS
        && (head->cmsg_len == CMSG_LEN(sizeof(int)) || head->cmsg_len == CMSG_LEN(2 * sizeof(int))))
        memcpy(fds, CMSG_DATA(head), head->cmsg_len - CMSG_LEN(0));
    push->memory = NULL;
    push->ticket = -1;
    if (!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && sw_frame_read(frame, push->packet, (uint64_t)got)
        && frame->size == (uint64_t)got && frame->request_id == 0) {
        push->head = push->packet + sizeof *frame;
        push->body = push->head + frame->head_len;
        if (frame->type == EVENT_WS_SESSION)
            is_right = fds[0] < 0;
        else if (frame->type == EVENT_WS_SESSION_SHM && fds[0] >= 0)
            is_right = (push->body = push->memory = sw_push_read_file(fds[0], frame->body_len)) != NULL;
    }
    if (fds[0] >= 0)
        close(fds[0]);
    if (is_right)
        push->ticket = fds[1];
    else if (fds[1] >= 0)
        close(fds[1]);
    return is_right;
}

static inline void sw_push_end(sw_push *push)
{
    free(push->memory);
    if (push->ticket >= 0)
        close(push->ticket);
}

#endif
