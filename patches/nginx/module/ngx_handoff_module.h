
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * What the parts of ngx_handoff_module.so share: ngx_handoff_module.c knows
 * the listening sockets, ngx_handoff_handler.c takes their connections, and
 * ngx_http_handoff_module.c has the directive and the variables.
 */


#ifndef _NGX_HANDOFF_MODULE_H_INCLUDED_
#define _NGX_HANDOFF_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct {
    struct sockaddr     *sockaddr;
    socklen_t            socklen;

    /* what nginx knows it by, see ngx_handoff_module.c */
    struct sockaddr_in   stand_in;

    /* as "listen" made it: with the options that connections shall have */
    ngx_listening_t      options;
} ngx_handoff_listen_t;


/* ngx_parse_url()'s address; NGX_ERROR if there is no memory */
ngx_int_t ngx_handoff_add(ngx_cycle_t *cycle, ngx_addr_t *addr);

/* for the read event of a listening connection, with a listen_t as its data */
void ngx_handoff_event_handler(ngx_event_t *ev);


extern ngx_module_t  ngx_handoff_module;


#endif /* _NGX_HANDOFF_MODULE_H_INCLUDED_ */
