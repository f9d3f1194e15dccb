
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * "listen_handoff unix:/path/443.sock [ssl] [http2] ...;" for an nginx that
 * is not patched, and the variables $handoff_name and $handoff_id.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>
#include <ngx_event_handoff.h>
#include <ngx_handoff_module.h>


static char *ngx_http_handoff_listen(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static ngx_int_t ngx_http_handoff_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_handoff_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_command_t  ngx_http_handoff_commands[] = {

    { ngx_string("listen_handoff"),
      NGX_HTTP_SRV_CONF|NGX_CONF_1MORE,
      ngx_http_handoff_listen,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_handoff_module_ctx = {
    ngx_http_handoff_add_variables,        /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_handoff_module = {
    NGX_MODULE_V1,
    &ngx_http_handoff_module_ctx,          /* module context */
    ngx_http_handoff_commands,             /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_variable_t  ngx_http_handoff_vars[] = {

    { ngx_string("handoff_name"), NULL, ngx_http_handoff_variable,
      offsetof(ngx_handoff_t, name), 0, 0 },

    { ngx_string("handoff_id"), NULL, ngx_http_handoff_variable,
      offsetof(ngx_handoff_t, id), 0, 0 },

      ngx_http_null_variable
};


/* parameters that mean something else, or nothing, for a handoff */

static char  *ngx_http_handoff_refused[] = {
    "backlog=", "deferred", "reuseport", "fastopen=", "setfib=", "ipv6only=",
    "accept_filter=", "quic", "udp", "multipath", NULL
};


static char *
ngx_http_handoff_listen(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                       **refused;
    ngx_url_t                    u;
    ngx_str_t                   *value;
    ngx_uint_t                   i;
    ngx_command_t               *listen;
    ngx_http_core_srv_conf_t    *cscf;

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "unix:", 5) != 0) {
        return "needs a path: unix:/...";
    }

    for (i = 2; i < cf->args->nelts; i++) {
        for (refused = ngx_http_handoff_refused; *refused; refused++) {

            if (ngx_strncmp(value[i].data, *refused, ngx_strlen(*refused))
                == 0)
            {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "invalid parameter \"%V\"", &value[i]);
                return NGX_CONF_ERROR;
            }
        }
    }

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = value[1];
    u.listen = 1;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "%s in \"%V\" of the \"listen_handoff\" directive",
                           u.err ? u.err : "something wrong", &u.url);
        return NGX_CONF_ERROR;
    }

    if (ngx_handoff_add(cf->cycle, &u.addrs[0]) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    for (listen = ngx_http_core_module.commands; listen->name.len; listen++) {

        if (ngx_strcmp(listen->name.data, "listen") == 0) {
            return listen->set(cf, listen, cscf);
        }
    }

    return "found no \"listen\" directive in this nginx";
}


static ngx_int_t
ngx_http_handoff_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_handoff_vars; v->name.len; v++) {

        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_handoff_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    ngx_str_t      *value;
    ngx_handoff_t  *handoff;

    handoff = ngx_handoff_get(r->connection);
    if (handoff == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    value = (ngx_str_t *) ((char *) handoff + data);

    v->len = value->len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->data = value->data;

    return NGX_OK;
}
