# Linux system calls that Cython's own declarations lack.

from libc.stdint cimport int64_t, uint32_t, uint64_t


cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLLET
        EPOLLEXCLUSIVE
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CLOEXEC
    ctypedef union epoll_data_t:
        void *ptr
        int fd
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        AF_INET
        AF_INET6
        AF_UNIX
        SHUT_WR
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        MSG_NOSIGNAL
        MSG_MORE
    ctypedef uint32_t socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    ssize_t sendmsg(int fd, const msghdr *message, int flags)
    int shutdown(int fd, int how)
    int getsockname(int fd, sockaddr *address, socklen_t *length)

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/sendfile.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <sys/epoll.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <errno.h>
    #include <signal.h>
    #include <stdint.h>
    #include <time.h>
    #include <unistd.h>

    #ifndef SYS_epoll_pwait2
    #define SYS_epoll_pwait2 441
    #endif

    static int sw_accept(int fd, struct sockaddr *address, socklen_t *length)
    {
        return (int)syscall(SYS_accept4, fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }

    /* The C library's recv and send are cancellation points, and in a process with threads pay for that twice a call
     * (1 % of a request, measured). No thread of ours is ever cancelled. */
    static ssize_t sw_recv(int fd, void *buffer, size_t length)
    {
        return syscall(SYS_recvfrom, fd, buffer, length, 0, NULL, NULL);
    }

    static ssize_t sw_send(int fd, const void *buffer, size_t length)
    {
        return syscall(SYS_sendto, fd, buffer, length, MSG_NOSIGNAL, NULL, 0);
    }

    static ssize_t sw_sendfile(int socket, int file, uint64_t at, uint64_t most)
    {
        off_t offset = (off_t)at;
        return sendfile(socket, file, &offset, (size_t)most);
    }

    /* Waits in nanoseconds (Linux 5.11); -1 waits for ever. Older kernels get whole milliseconds, rounded up. */
    static int sw_epoll_wait(int epfd, struct epoll_event *events, int most, int64_t timeout_ns)
    {
        static int no_pwait2 = 0;
        if (!no_pwait2) {
            struct timespec ts = {timeout_ns / 1000000000, timeout_ns % 1000000000};
            int n = (int)syscall(SYS_epoll_pwait2, epfd, events, most, timeout_ns < 0 ? NULL : &ts, NULL, 0);
            if (n >= 0 || (errno != ENOSYS && errno != EPERM)) /* EPERM: a sandbox that does not know it */
                return n;
            no_pwait2 = 1;
        }
        return epoll_wait(epfd, events, most, timeout_ns < 0 ? -1 : (int)((timeout_ns + 999999) / 1000000));
    }

    static int64_t sw_realtime_s(void)
    {
        struct timespec ts;
        clock_gettime(CLOCK_REALTIME_COARSE, &ts);
        return (int64_t)ts.tv_sec;
    }

    /* The text and port of an address; 0 for families without one. */
    static int sw_address_text(const void *address, char *text, int room, uint16_t *port)
    {
        const struct sockaddr *any = (const struct sockaddr *)address;
        const void *source;
        if (any->sa_family == AF_INET) {
            source = &((const struct sockaddr_in *)address)->sin_addr;
            *port = ntohs(((const struct sockaddr_in *)address)->sin_port);
        } else if (any->sa_family == AF_INET6) {
            const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
            *port = ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
            if (IN6_IS_ADDR_V4MAPPED(six)) {
                char mapped[INET6_ADDRSTRLEN];
                if (inet_ntop(AF_INET, (const char *)six + 12, mapped, sizeof mapped) == NULL)
                    return 0;
                memcpy(text, mapped, strlen(mapped));
                return (int)strlen(mapped);
            }
            source = six;
        } else {
            return 0;
        }
        {
            char buffer[INET6_ADDRSTRLEN];
            if (inet_ntop(any->sa_family, source, buffer, sizeof buffer) == NULL)
                return 0;
            if ((int)strlen(buffer) > room)
                return 0;
            memcpy(text, buffer, strlen(buffer));
            return (int)strlen(buffer);
        }
    }
    """
    int sw_accept(int fd, sockaddr *address, socklen_t *length)
    ssize_t sw_recv(int fd, void *buffer, size_t length)
    ssize_t sw_send(int fd, const void *buffer, size_t length)
    ssize_t sw_sendfile(int socket, int file, uint64_t at, uint64_t most)
    int sw_epoll_wait(int epfd, epoll_event *events, int most, int64_t timeout_ns)
    int64_t sw_realtime_s()
    int sw_address_text(const void *address, char *text, int room, unsigned short *port)
