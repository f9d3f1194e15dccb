
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * The listening sockets of an nginx that is not patched.  The core's "listen"
 * makes the entry of each.  Before nginx opens it, it is turned into a
 * datagram socket, and as each worker starts, the handler for UDP gives way
 * to our own.
 *
 * nginx deletes the file of a unix socket that it closes.  Another process may
 * have put its own socket there, a service manager may go on listening at it,
 * and a file without a socket does no harm.  So nginx is told a stand-in for
 * the address, of no family that it knows: it closes that, and nothing else,
 * and compares two of them by what would be the address in a sockaddr_in.
 * There we have a number that the same path has in every cycle.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_handoff.h>
#include <ngx_handoff_module.h>


typedef struct {
    ngx_array_t       listens;    /* of ngx_handoff_listen_t */
} ngx_handoff_conf_t;


static void *ngx_handoff_create_conf(ngx_cycle_t *cycle);
static char *ngx_handoff_init_conf(ngx_cycle_t *cycle, void *conf);
static ngx_int_t ngx_handoff_init_listening(ngx_cycle_t *cycle,
    ngx_listening_t *ls, ngx_handoff_listen_t *listen);
static void ngx_handoff_close_opened(ngx_cycle_t *cycle);
static void ngx_handoff_init_stand_in(ngx_cycle_t *cycle,
    ngx_handoff_listen_t *listen);
static ngx_uint_t ngx_handoff_is_open(ngx_cycle_t *cycle,
    ngx_handoff_listen_t *listen);
static ngx_handoff_listen_t *ngx_handoff_find(ngx_handoff_conf_t *hcf,
    struct sockaddr *sockaddr, socklen_t socklen);
static ngx_int_t ngx_handoff_init_process(ngx_cycle_t *cycle);


static ngx_uint_t  ngx_handoff_last_number;


static ngx_core_module_t  ngx_handoff_module_ctx = {
    ngx_string("handoff"),
    ngx_handoff_create_conf,
    ngx_handoff_init_conf
};


ngx_module_t  ngx_handoff_module = {
    NGX_MODULE_V1,
    &ngx_handoff_module_ctx,               /* module context */
    NULL,                                  /* module directives */
    NGX_CORE_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_handoff_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_handoff_create_conf(ngx_cycle_t *cycle)
{
    ngx_handoff_conf_t  *hcf;

    hcf = ngx_pcalloc(cycle->pool, sizeof(ngx_handoff_conf_t));
    if (hcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&hcf->listens, cycle->pool, 4,
                       sizeof(ngx_handoff_listen_t))
        != NGX_OK)
    {
        return NULL;
    }

    return hcf;
}


ngx_int_t
ngx_handoff_add(ngx_cycle_t *cycle, ngx_addr_t *addr)
{
    ngx_handoff_conf_t    *hcf;
    ngx_handoff_listen_t  *listen;

    hcf = (ngx_handoff_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                              ngx_handoff_module);

    if (ngx_handoff_find(hcf, addr->sockaddr, addr->socklen)) {
        return NGX_OK;
    }

    listen = ngx_array_push(&hcf->listens);
    if (listen == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(listen, sizeof(ngx_handoff_listen_t));

    listen->sockaddr = addr->sockaddr;
    listen->socklen = addr->socklen;

    return NGX_OK;
}


/* the configuration is read, and its sockets are not open yet */

static char *
ngx_handoff_init_conf(ngx_cycle_t *cycle, void *conf)
{
    ngx_handoff_conf_t  *hcf = conf;

    ngx_uint_t             i;
    ngx_listening_t       *ls;
    ngx_handoff_listen_t  *listen;

    /* "nginx -s reload" reads the configuration only to find the pid file */

    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_CONF_OK;
    }

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {

        listen = ngx_handoff_find(hcf, ls[i].sockaddr, ls[i].socklen);

        if (listen
            && ngx_handoff_init_listening(cycle, &ls[i], listen) != NGX_OK)
        {
            ngx_handoff_close_opened(cycle);
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_handoff_init_listening(ngx_cycle_t *cycle, ngx_listening_t *ls,
    ngx_handoff_listen_t *listen)
{
    ngx_int_t   rc;
    ngx_uint_t  tries;

    listen->options = *ls;

    ngx_handoff_init_stand_in(cycle, listen);

    ls->sockaddr = (struct sockaddr *) &listen->stand_in;
    ls->socklen = sizeof(struct sockaddr_in);
    ls->type = SOCK_DGRAM;

    /* or nginx would set them on the unix socket, which has none of them */

    ls->rcvbuf = -1;
    ls->sndbuf = -1;
    ls->keepalive = 0;
#if (NGX_HAVE_KEEPALIVE_TUNABLE)
    ls->keepidle = 0;
    ls->keepintvl = 0;
    ls->keepcnt = 0;
#endif

    if (ngx_handoff_is_open(cycle, listen)) {
        return NGX_OK;
    }

    for (tries = 5; tries; tries--) {

        rc = ngx_handoff_open(&listen->options, cycle->log);

        if (rc == NGX_OK) {
            ls->fd = listen->options.fd;
            ls->open = 1;
            return NGX_OK;
        }

        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                      "try again to bind() after 500ms");

        ngx_msleep(500);
    }

    ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "still could not bind()");

    return NGX_ERROR;
}


/* nobody would receive from them: nginx forgets the cycle as it is */

static void
ngx_handoff_close_opened(ngx_cycle_t *cycle)
{
    ngx_uint_t        i;
    ngx_listening_t  *ls;

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {

        if (!ls[i].open) {
            continue;
        }

        if (ngx_close_socket(ls[i].fd) == -1) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_socket_errno,
                          ngx_close_socket_n " %V failed", &ls[i].addr_text);
        }
    }
}


static void
ngx_handoff_init_stand_in(ngx_cycle_t *cycle, ngx_handoff_listen_t *listen)
{
    ngx_cycle_t           *old;
    ngx_handoff_conf_t    *hcf;
    ngx_handoff_listen_t  *known;

    known = NULL;
    old = cycle->old_cycle;

    if (!ngx_is_init_cycle(old)
        && ngx_handoff_module.index < old->modules_n
        && old->modules[ngx_handoff_module.index] == &ngx_handoff_module)
    {
        hcf = (ngx_handoff_conf_t *) ngx_get_conf(old->conf_ctx,
                                                  ngx_handoff_module);

        known = ngx_handoff_find(hcf, listen->sockaddr, listen->socklen);
    }

    listen->stand_in.sin_family = AF_UNSPEC;
    listen->stand_in.sin_addr.s_addr = known ? known->stand_in.sin_addr.s_addr
                                             : ++ngx_handoff_last_number;
}


/*
 * Whether nginx will find the socket among those of the old cycle.  One that
 * it has inherited from another binary gets the stand-in for that.
 */

static ngx_uint_t
ngx_handoff_is_open(ngx_cycle_t *cycle, ngx_handoff_listen_t *listen)
{
    ngx_uint_t        i;
    struct sockaddr  *sa;
    ngx_listening_t  *ols;

    sa = (struct sockaddr *) &listen->stand_in;

    ols = cycle->old_cycle->listening.elts;
    for (i = 0; i < cycle->old_cycle->listening.nelts; i++) {

        if (ols[i].ignore || ols[i].type != SOCK_DGRAM) {
            continue;
        }

        if (ngx_handoff_is_inherited(&listen->options, &ols[i])) {
            ols[i].sockaddr = sa;
            ols[i].socklen = sizeof(struct sockaddr_in);
            return 1;
        }

        if (ngx_cmp_sockaddr(sa, sizeof(struct sockaddr_in),
                             ols[i].sockaddr, ols[i].socklen, 1)
            == NGX_OK)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_handoff_listen_t *
ngx_handoff_find(ngx_handoff_conf_t *hcf, struct sockaddr *sockaddr,
    socklen_t socklen)
{
    ngx_uint_t             i;
    ngx_handoff_listen_t  *listen;

    listen = hcf->listens.elts;
    for (i = 0; i < hcf->listens.nelts; i++) {

        if (ngx_cmp_sockaddr(listen[i].sockaddr, listen[i].socklen,
                             sockaddr, socklen, 1)
            == NGX_OK)
        {
            return &listen[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_handoff_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t             i, n;
    ngx_listening_t       *ls;
    ngx_handoff_conf_t    *hcf;
    ngx_handoff_listen_t  *listen;

    hcf = (ngx_handoff_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                              ngx_handoff_module);

    listen = hcf->listens.elts;
    ls = cycle->listening.elts;

    for (i = 0; i < cycle->listening.nelts; i++) {

        for (n = 0; n < hcf->listens.nelts; n++) {

            if (ls[i].sockaddr != (struct sockaddr *) &listen[n].stand_in
                || ls[i].connection == NULL)
            {
                continue;
            }

            listen[n].options.fd = ls[i].fd;

            ls[i].connection->data = &listen[n];
            ls[i].connection->read->handler = ngx_handoff_event_handler;
        }
    }

    return NGX_OK;
}
