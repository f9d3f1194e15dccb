
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * What a datagram says of its connection: a PROXY protocol v2 header.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_handoff.h>


/* signature, version, family and length; the addresses */
#define NGX_HANDOFF_PP_HEADER      16
#define NGX_HANDOFF_PP_INET        12
#define NGX_HANDOFF_PP_INET6       36

#define NGX_HANDOFF_TLV_ALPN       0x01
#define NGX_HANDOFF_TLV_AUTHORITY  0x02
#define NGX_HANDOFF_TLV_UNIQUE_ID  0x05


static u_char *ngx_handoff_tlvs(u_char *last);
static ngx_int_t ngx_handoff_copy(ngx_pool_t *pool, ngx_str_t *dst, u_char *p,
    size_t len);
static void ngx_handoff_cleanup(void *data);


ngx_int_t
ngx_handoff_init_connection(ngx_connection_t *c)
{
    u_char              *p, *end, *last;
    size_t               len;
    ngx_int_t            rc;
    ngx_handoff_t       *handoff;
    ngx_pool_cleanup_t  *cln;

    /* the own address is asked for by getsockname() when somebody needs it */

    c->local_socklen = 0;

    cln = ngx_pool_cleanup_add(c->pool, sizeof(ngx_handoff_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    handoff = cln->data;
    ngx_memzero(handoff, sizeof(ngx_handoff_t));
    cln->handler = ngx_handoff_cleanup;

    last = ngx_handoff_payload + ngx_handoff_payload_len;

    p = ngx_handoff_tlvs(last);

    if (p == NULL) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "handoff without a PROXY protocol header, accepted");
        return NGX_OK;
    }

    end = ngx_handoff_payload + NGX_HANDOFF_PP_HEADER
          + (ngx_handoff_payload[14] << 8 | ngx_handoff_payload[15]);

    if (ngx_proxy_protocol_read(c, ngx_handoff_payload, end) == NULL) {
        return NGX_ERROR;
    }

    for ( /* void */ ; end - p >= 3; p += len) {
        rc = NGX_OK;
        len = p[1] << 8 | p[2];

        if ((size_t) (end - p) < 3 + len) {
            break;
        }

        switch (*p) {

        case NGX_HANDOFF_TLV_AUTHORITY:
            rc = ngx_handoff_copy(c->pool, &handoff->name, p + 3, len);

            /* fall through */

        case NGX_HANDOFF_TLV_ALPN:

            /* the sender has seen the first bytes, so they are there */

            c->read->ready = 1;
#if (NGX_HAVE_KQUEUE || NGX_HAVE_EPOLLRDHUP)
            c->read->available = 1;
#endif
            break;

        case NGX_HANDOFF_TLV_UNIQUE_ID:
            rc = ngx_handoff_copy(c->pool, &handoff->id, p + 3, len);
            break;
        }

        if (rc != NGX_OK) {
            return NGX_ERROR;
        }

        len += 3;
    }

    return NGX_OK;
}


/*
 * the TLVs of a whole header that ngx_proxy_protocol_read() can read, or NULL:
 * a receiver takes any payload, and that function complains about most
 */

static u_char *
ngx_handoff_tlvs(u_char *last)
{
    u_char  *p;
    size_t   len;

    static const u_char  signature[] = "\r\n\r\n\0\r\nQUIT\n";

    p = ngx_handoff_payload;

    if (last - p < NGX_HANDOFF_PP_HEADER
        || ngx_memcmp(p, signature, sizeof(signature) - 1) != 0
        || p[12] != 0x21)
    {
        return NULL;
    }

    len = p[14] << 8 | p[15];

    if ((size_t) (last - p) < NGX_HANDOFF_PP_HEADER + len) {
        return NULL;
    }

    p += NGX_HANDOFF_PP_HEADER;

    switch (ngx_handoff_payload[13]) {

    case 0x11:
        return len < NGX_HANDOFF_PP_INET ? NULL : p + NGX_HANDOFF_PP_INET;

    case 0x21:
        return len < NGX_HANDOFF_PP_INET6 ? NULL : p + NGX_HANDOFF_PP_INET6;

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_handoff_copy(ngx_pool_t *pool, ngx_str_t *dst, u_char *p, size_t len)
{
    dst->data = ngx_pnalloc(pool, len);
    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, p, len);
    dst->len = len;

    return NGX_OK;
}


ngx_handoff_t *
ngx_handoff_get(ngx_connection_t *c)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = c->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_handoff_cleanup) {
            return cln->data;
        }
    }

    return NULL;
}


/* marks what ngx_handoff_get() looks for */

static void
ngx_handoff_cleanup(void *data)
{
}
