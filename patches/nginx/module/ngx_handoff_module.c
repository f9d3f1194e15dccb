
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * The listening sockets of an nginx that is not patched.  The core's "listen"
 * makes the entry of each.  Before nginx opens it, it is turned into a
 * datagram socket, and as each worker starts, the handler for UDP gives way
 * to our own.
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
static ngx_uint_t ngx_handoff_is_open(ngx_cycle_t *cycle, ngx_listening_t *ls);
static ngx_handoff_listen_t *ngx_handoff_find(ngx_handoff_conf_t *hcf,
    struct sockaddr *sockaddr, socklen_t socklen);
static ngx_int_t ngx_handoff_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_handoff_init_process(ngx_cycle_t *cycle);
static void ngx_handoff_exit_master(ngx_cycle_t *cycle);
static void ngx_handoff_keep_file(ngx_handoff_conf_t *hcf,
    ngx_listening_t *ls);


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
    ngx_handoff_init_module,               /* init module */
    ngx_handoff_init_process,              /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    ngx_handoff_exit_master,               /* exit master */
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

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {

        listen = ngx_handoff_find(hcf, ls[i].sockaddr, ls[i].socklen);

        if (listen
            && ngx_handoff_init_listening(cycle, &ls[i], listen) != NGX_OK)
        {
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

    if (ngx_handoff_is_open(cycle, ls)) {
        return NGX_OK;
    }

    for (tries = 5; tries; tries--) {

        rc = ngx_handoff_open(ls, cycle->log);

        if (rc == NGX_OK) {
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


/*
 * Whether nginx will find the socket among those of the old cycle.  One that
 * it has inherited from another binary gets its own name back for that.
 */

static ngx_uint_t
ngx_handoff_is_open(ngx_cycle_t *cycle, ngx_listening_t *ls)
{
    ngx_uint_t        i;
    ngx_listening_t  *ols;

    ols = cycle->old_cycle->listening.elts;
    for (i = 0; i < cycle->old_cycle->listening.nelts; i++) {

        if (ols[i].ignore || ols[i].type != SOCK_DGRAM) {
            continue;
        }

        if (ngx_handoff_is_inherited(ls, &ols[i])) {
            ols[i].sockaddr = ls->sockaddr;
            ols[i].socklen = ls->socklen;
            ols[i].addr_text = ls->addr_text;
            return 1;
        }

        if (ngx_cmp_sockaddr(ls->sockaddr, ls->socklen,
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


/* nginx is about to close what the new configuration hasn't any more */

static ngx_int_t
ngx_handoff_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t           i;
    ngx_listening_t     *ls;
    ngx_handoff_conf_t  *hcf;

    if (cycle->old_cycle == NULL || ngx_is_init_cycle(cycle->old_cycle)
        || ngx_handoff_module.index >= cycle->old_cycle->modules_n
        || cycle->old_cycle->modules[ngx_handoff_module.index]
           != &ngx_handoff_module)
    {
        return NGX_OK;
    }

    hcf = (ngx_handoff_conf_t *) ngx_get_conf(cycle->old_cycle->conf_ctx,
                                              ngx_handoff_module);

    ls = cycle->old_cycle->listening.elts;
    for (i = 0; i < cycle->old_cycle->listening.nelts; i++) {

        if (!ls[i].remain) {
            ngx_handoff_keep_file(hcf, &ls[i]);
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_handoff_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t             i;
    ngx_listening_t       *ls;
    ngx_handoff_conf_t    *hcf;
    ngx_handoff_listen_t  *listen;

    hcf = (ngx_handoff_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                              ngx_handoff_module);

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {

        listen = ngx_handoff_find(hcf, ls[i].sockaddr, ls[i].socklen);

        if (listen && ls[i].connection) {
            ls[i].connection->data = listen;
            ls[i].connection->read->handler = ngx_handoff_event_handler;
        }
    }

    return NGX_OK;
}


static void
ngx_handoff_exit_master(ngx_cycle_t *cycle)
{
    ngx_uint_t           i;
    ngx_listening_t     *ls;
    ngx_handoff_conf_t  *hcf;

    hcf = (ngx_handoff_conf_t *) ngx_get_conf(cycle->conf_ctx,
                                              ngx_handoff_module);

    ls = cycle->listening.elts;
    for (i = 0; i < cycle->listening.nelts; i++) {
        ngx_handoff_keep_file(hcf, &ls[i]);
    }
}


/*
 * nginx deletes the file of a unix socket that it closes.  Another process may
 * have put its own socket there, and a file without one does no harm.
 */

static void
ngx_handoff_keep_file(ngx_handoff_conf_t *hcf, ngx_listening_t *ls)
{
    struct sockaddr  *sa;

    if (ngx_handoff_find(hcf, ls->sockaddr, ls->socklen) == NULL) {
        return;
    }

    sa = ngx_palloc(ngx_cycle->pool, ls->socklen);
    if (sa == NULL) {
        return;
    }

    ngx_memcpy(sa, ls->sockaddr, ls->socklen);
    sa->sa_family = AF_UNSPEC;

    ls->sockaddr = sa;
}
