
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * What ngx_event_accept() does, with ngx_handoff_accept() for accept4().
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_handoff.h>
#include <ngx_handoff_module.h>


static void ngx_handoff_no_descriptors(ngx_event_t *ev);
static ngx_int_t ngx_handoff_disable_accept_events(ngx_cycle_t *cycle);
static ngx_int_t ngx_handoff_connection(ngx_listening_t *ls, ngx_socket_t s,
    ngx_sockaddr_t *sa, socklen_t socklen, ngx_log_t *log);
static void ngx_handoff_close_connection(ngx_connection_t *c);
static void ngx_handoff_reorder_events(ngx_connection_t *lc);


/* ngx_event_accept(), for handoffs */

void
ngx_handoff_event_handler(ngx_event_t *ev)
{
    socklen_t              socklen;
    ngx_err_t              err;
    ngx_uint_t             level;
    ngx_socket_t           s;
    ngx_sockaddr_t         sa;
    ngx_listening_t       *ls;
    ngx_connection_t      *lc;
    ngx_event_conf_t      *ecf;
    ngx_handoff_listen_t  *listen;

    if (ev->timedout) {
        if (ngx_enable_accept_events((ngx_cycle_t *) ngx_cycle) != NGX_OK) {
            return;
        }

        ev->timedout = 0;
    }

    ecf = ngx_event_get_conf(ngx_cycle->conf_ctx, ngx_event_core_module);

    lc = ev->data;
    ls = lc->listening;
    listen = lc->data;

    ev->ready = 0;
    ev->available = ecf->multi_accept;

    ngx_log_debug2(NGX_LOG_DEBUG_EVENT, ev->log, 0,
                   "handoff on %V, ready: %d", &ls->addr_text, ev->available);

    do {
        socklen = sizeof(ngx_sockaddr_t);

        s = ngx_handoff_accept(&listen->options, &sa, &socklen, ev->log);

        if (s == (ngx_socket_t) -1) {

            err = ngx_socket_errno;

            if (err == NGX_EAGAIN) {
                return;
            }

            level = (err == NGX_EMFILE) ? NGX_LOG_CRIT : NGX_LOG_ALERT;

            ngx_log_error(level, ev->log, err, "handoff failed");

            if (err == NGX_EMFILE) {
                ngx_handoff_no_descriptors(ev);
            }

            return;
        }

#if (NGX_STAT_STUB)
        (void) ngx_atomic_fetch_add(ngx_stat_accepted, 1);
#endif

        ngx_accept_disabled = ngx_cycle->connection_n / 8
                              - ngx_cycle->free_connection_n;

        if (ngx_handoff_connection(ls, s, &sa, socklen, ev->log) != NGX_OK) {
            return;
        }

    } while (ev->available);

    ngx_handoff_reorder_events(lc);
}


/* no descriptor is free: leaves clients where they are for a while */

static void
ngx_handoff_no_descriptors(ngx_event_t *ev)
{
    ngx_event_conf_t  *ecf;

    if (ngx_handoff_disable_accept_events((ngx_cycle_t *) ngx_cycle)
        != NGX_OK)
    {
        return;
    }

    if (ngx_use_accept_mutex) {

        if (ngx_accept_mutex_held) {
            ngx_shmtx_unlock(&ngx_accept_mutex);
            ngx_accept_mutex_held = 0;
        }

        ngx_accept_disabled = 1;
        return;
    }

    ecf = ngx_event_get_conf(ngx_cycle->conf_ctx, ngx_event_core_module);

    ngx_add_timer(ev, ecf->accept_mutex_delay);
}


/* as ngx_disable_accept_events(): those of all listening sockets */

static ngx_int_t
ngx_handoff_disable_accept_events(ngx_cycle_t *cycle)
{
    ngx_uint_t         i;
    ngx_listening_t   *ls;
    ngx_connection_t  *c;

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {

        c = ls[i].connection;

        if (c == NULL || !c->read->active) {
            continue;
        }

        if (ngx_del_event(c->read, NGX_READ_EVENT, NGX_DISABLE_EVENT)
            == NGX_ERROR)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_handoff_connection(ngx_listening_t *ls, ngx_socket_t s, ngx_sockaddr_t *sa,
    socklen_t socklen, ngx_log_t *log)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(s, log);

    if (c == NULL) {
        if (ngx_close_socket(s) == -1) {
            ngx_log_error(NGX_LOG_ALERT, log, ngx_socket_errno,
                          ngx_close_socket_n " failed");
        }

        return NGX_ERROR;
    }

    c->type = SOCK_STREAM;

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, 1);
#endif

    c->pool = ngx_create_pool(ls->pool_size, log);
    if (c->pool == NULL) {
        goto failed;
    }

    c->sockaddr = ngx_palloc(c->pool, socklen);
    if (c->sockaddr == NULL) {
        goto failed;
    }

    ngx_memcpy(c->sockaddr, sa, socklen);
    c->socklen = socklen;

    log = ngx_palloc(c->pool, sizeof(ngx_log_t));
    if (log == NULL) {
        goto failed;
    }

    *log = ls->log;

    c->recv = ngx_recv;
    c->send = ngx_send;
    c->recv_chain = ngx_recv_chain;
    c->send_chain = ngx_send_chain;

    c->log = log;
    c->pool->log = log;

    c->listening = ls;
    c->local_sockaddr = ls->sockaddr;

    c->read->log = log;
    c->write->log = log;
    c->write->ready = 1;

    if (ngx_handoff_init_connection(c) != NGX_OK) {
        goto failed;
    }

    c->number = ngx_atomic_fetch_add(ngx_connection_counter, 1);
    c->start_time = ngx_current_msec;

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_handled, 1);
#endif

    c->addr_text.data = ngx_pnalloc(c->pool, NGX_SOCKADDR_STRLEN);
    if (c->addr_text.data == NULL) {
        goto failed;
    }

    c->addr_text.len = ngx_sock_ntop(c->sockaddr, c->socklen,
                                     c->addr_text.data, NGX_SOCKADDR_STRLEN,
                                     0);

#if (NGX_DEBUG)
    ngx_debug_accepted_connection(ngx_event_get_conf(ngx_cycle->conf_ctx,
                                                     ngx_event_core_module),
                                  c);
#endif

    if (ngx_add_conn && (ngx_event_flags & NGX_USE_EPOLL_EVENT) == 0) {
        if (ngx_add_conn(c) == NGX_ERROR) {
            goto failed;
        }
    }

    log->data = NULL;
    log->handler = NULL;

    ls->handler(c);

    return NGX_OK;

failed:

    ngx_handoff_close_connection(c);

    return NGX_ERROR;
}


static void
ngx_handoff_close_connection(ngx_connection_t *c)
{
    ngx_socket_t  fd;

    ngx_free_connection(c);

    fd = c->fd;
    c->fd = (ngx_socket_t) -1;

    if (ngx_close_socket(fd) == -1) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_socket_errno,
                      ngx_close_socket_n " failed");
    }

    if (c->pool) {
        ngx_destroy_pool(c->pool);
    }

#if (NGX_STAT_STUB)
    (void) ngx_atomic_fetch_add(ngx_stat_active, -1);
#endif
}


/* as ngx_reorder_accept_events(): so that not one worker gets most */

static void
ngx_handoff_reorder_events(ngx_connection_t *lc)
{
#if (NGX_HAVE_EPOLLEXCLUSIVE)

    if (!ngx_use_exclusive_accept
        || (lc->requests++ % 16 != 0 && ngx_accept_disabled <= 0))
    {
        return;
    }

    if (ngx_del_event(lc->read, NGX_READ_EVENT, NGX_DISABLE_EVENT)
        == NGX_ERROR)
    {
        return;
    }

    (void) ngx_add_event(lc->read, NGX_READ_EVENT, NGX_EXCLUSIVE_EVENT);

#endif
}
