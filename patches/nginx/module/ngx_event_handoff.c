
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * Takes a connection from a datagram, and checks that it is one.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_handoff.h>


/* no message carries more descriptors, see unix(7) */
#define NGX_HANDOFF_MAX_FDS  253


static ngx_int_t ngx_handoff_has_room(ngx_socket_t s);
static ngx_socket_t ngx_handoff_get_fd(struct msghdr *msg, ngx_log_t *log);
static void ngx_handoff_set_options(ngx_socket_t s, ngx_listening_t *ls,
    ngx_log_t *log);


/* of the last datagram; a worker process takes one at a time */

u_char  ngx_handoff_payload[NGX_HANDOFF_MAX_PAYLOAD];
size_t  ngx_handoff_payload_len;


ngx_socket_t
ngx_handoff_accept(ngx_listening_t *ls, ngx_sockaddr_t *sa, socklen_t *socklen,
    ngx_log_t *log)
{
    u_char         state;
    ssize_t        n;
    socklen_t      len;
    ngx_err_t      err;
    ngx_socket_t   s;
    struct iovec   iov;
    struct msghdr  msg;

    union {
        struct cmsghdr  align;
        u_char          data[CMSG_SPACE(NGX_HANDOFF_MAX_FDS * sizeof(int))];
    } control;

    /* recvmsg() with a full table of descriptors would lose the connection */

    if (ngx_handoff_has_room(ls->fd) != NGX_OK) {
        return (ngx_socket_t) -1;
    }

    ngx_memzero(&msg, sizeof(struct msghdr));

    iov.iov_base = (void *) ngx_handoff_payload;
    iov.iov_len = sizeof(ngx_handoff_payload);

    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    msg.msg_control = (void *) &control;
    msg.msg_controllen = sizeof(control);

    n = recvmsg(ls->fd, &msg, MSG_CMSG_CLOEXEC|MSG_DONTWAIT);

    if (n == -1) {
        if (ngx_socket_errno == NGX_EINTR) {
            ngx_set_socket_errno(NGX_EAGAIN);
        }

        return (ngx_socket_t) -1;
    }

    ngx_handoff_payload_len = n;

    s = ngx_handoff_get_fd(&msg, log);

    if (s == (ngx_socket_t) -1) {
        ngx_set_socket_errno(NGX_EAGAIN);
        return (ngx_socket_t) -1;
    }

    /* nothing but TCP has this option, and the first byte is the state */

    state = 0;
    len = sizeof(state);

    if (getsockopt(s, IPPROTO_TCP, TCP_INFO, (void *) &state, &len) == -1
        || state == TCP_LISTEN)
    {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "handoff of what is not a TCP connection, closed");
        goto close;
    }

    if (getpeername(s, &sa->sockaddr, socklen) == -1) {
        err = ngx_socket_errno;

        ngx_log_error(NGX_LOG_INFO, log, err,
                      "handoff of a client that has gone, closed");
        goto close;
    }

    if (ngx_nonblocking(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_nonblocking_n " failed");
        goto close;
    }

    ngx_handoff_set_options(s, ls, log);

    return s;

close:

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    ngx_set_socket_errno(NGX_EAGAIN);

    return (ngx_socket_t) -1;
}


/*
 * other connections and files take descriptors, too, so what was free at the
 * last time means nothing
 */

static ngx_int_t
ngx_handoff_has_room(ngx_socket_t s)
{
    ngx_socket_t  fd;

    fd = fcntl(s, F_DUPFD_CLOEXEC, 0);

    if (fd == (ngx_socket_t) -1) {
        return NGX_ERROR;
    }

    (void) ngx_close_socket(fd);

    return NGX_OK;
}


/* owns the first descriptor of the message, and closes all others */

static ngx_socket_t
ngx_handoff_get_fd(struct msghdr *msg, ngx_log_t *log)
{
    int              fd;
    size_t           n, i;
    ngx_uint_t       surplus;
    ngx_socket_t     s;
    struct cmsghdr  *cmsg;

    s = (ngx_socket_t) -1;
    surplus = 0;

    for (cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {

        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS) {
            continue;
        }

        n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (i = 0; i < n; i++) {
            ngx_memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));

            if (s == (ngx_socket_t) -1) {
                s = fd;
                continue;
            }

            surplus++;

            if (ngx_close_socket(fd) == -1) {
                ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                              ngx_close_socket_n " failed");
            }
        }
    }

    if (surplus) {
        ngx_log_error(NGX_LOG_INFO, log, 0,
                      "handoff with %ui surplus descriptors, closed", surplus);
    }

    if (s == (ngx_socket_t) -1) {

        if (msg->msg_flags & MSG_CTRUNC) {
            ngx_log_error(NGX_LOG_ERR, log, 0,
                          "handoff whose descriptor could not be received");

        } else {
            ngx_log_error(NGX_LOG_INFO, log, 0,
                          "handoff without a descriptor, ignored");
        }
    }

    return s;
}


/* what a TCP socket would have passed on to those accepted from it */

static void
ngx_handoff_set_options(ngx_socket_t s, ngx_listening_t *ls, ngx_log_t *log)
{
    int         n, value;
    ngx_uint_t  i;

    struct {
        int     level;
        int     name;
        int     value;
    } option[6];

    n = 0;

#define ngx_handoff_option(l, o, v)                                           \
    option[n].level = l; option[n].name = o; option[n++].value = v

    if (ls->rcvbuf != -1) {
        ngx_handoff_option(SOL_SOCKET, SO_RCVBUF, ls->rcvbuf);
    }

    if (ls->sndbuf != -1) {
        ngx_handoff_option(SOL_SOCKET, SO_SNDBUF, ls->sndbuf);
    }

    if (ls->keepalive) {
        ngx_handoff_option(SOL_SOCKET, SO_KEEPALIVE, ls->keepalive == 1);
    }

#if (NGX_HAVE_KEEPALIVE_TUNABLE)

    if (ls->keepidle) {
        ngx_handoff_option(IPPROTO_TCP, TCP_KEEPIDLE, ls->keepidle);
    }

    if (ls->keepintvl) {
        ngx_handoff_option(IPPROTO_TCP, TCP_KEEPINTVL, ls->keepintvl);
    }

    if (ls->keepcnt) {
        ngx_handoff_option(IPPROTO_TCP, TCP_KEEPCNT, ls->keepcnt);
    }

#endif

    for (i = 0; i < (ngx_uint_t) n; i++) {
        value = option[i].value;

        if (setsockopt(s, option[i].level, option[i].name,
                       (const void *) &value, sizeof(int))
            == -1)
        {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          "setsockopt(%d, %d) of a handoff failed, ignored",
                          option[i].level, option[i].name);
        }
    }
}
