
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * Receives accepted TCP connections from another process: each datagram
 * on a unix socket carries one of them, untouched, as a descriptor.
 */


#ifndef _NGX_EVENT_HANDOFF_H_INCLUDED_
#define _NGX_EVENT_HANDOFF_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


#define NGX_HANDOFF_MAX_PAYLOAD  1024


/* what a handoff says of its connection; empty strings if it doesn't */

typedef struct {
    ngx_str_t  name;    /* the name that the client asked for */
    ngx_str_t  id;      /* the id of the sender's log */
} ngx_handoff_t;


/*
 * sets ls->fd, by a socket that was inherited by LISTEN_FDS, or by a new one;
 * NGX_DECLINED if another process listens there
 */
ngx_int_t ngx_handoff_open(ngx_listening_t *ls, ngx_log_t *log);

/* whether the inherited socket is the one that is configured in ls */
ngx_uint_t ngx_handoff_is_inherited(ngx_listening_t *ls,
    ngx_listening_t *inherited);

/* the same as accept4() with SOCK_NONBLOCK */
ngx_socket_t ngx_handoff_accept(ngx_listening_t *ls, ngx_sockaddr_t *sa,
    socklen_t *socklen, ngx_log_t *log);

/* tells a new connection what came with the last ngx_handoff_accept() */
ngx_int_t ngx_handoff_init_connection(ngx_connection_t *c);

/* NULL if the connection was accepted in another way */
ngx_handoff_t *ngx_handoff_get(ngx_connection_t *c);


extern u_char  ngx_handoff_payload[NGX_HANDOFF_MAX_PAYLOAD];
extern size_t  ngx_handoff_payload_len;


#endif /* _NGX_EVENT_HANDOFF_H_INCLUDED_ */
