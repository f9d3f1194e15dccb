
/*
 * Copyright (C) the authors of proxyd
 *
 * SPDX-License-Identifier: MIT
 *
 * The sockets from which handoffs are taken: inherited ones, and new ones.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_event_handoff.h>


/* the first descriptor that a service manager passes, see sd_listen_fds(3) */
#define NGX_HANDOFF_LISTEN_FDS_START  3


static ngx_socket_t ngx_handoff_find_inherited(ngx_listening_t *ls);
static ngx_uint_t ngx_handoff_same_path(struct sockaddr *configured,
    struct sockaddr *bound, socklen_t socklen);
static ngx_int_t ngx_handoff_check_path(ngx_listening_t *ls, ngx_log_t *log);
static ngx_int_t ngx_handoff_check_directory(ngx_listening_t *ls,
    ngx_log_t *log);
static ngx_int_t ngx_handoff_bind(ngx_socket_t s, ngx_listening_t *ls,
    ngx_log_t *log);
static ngx_int_t ngx_handoff_set_access(ngx_listening_t *ls, char *path,
    ngx_log_t *log);
static void ngx_handoff_directory(char *dir, char *path);


ngx_int_t
ngx_handoff_open(ngx_listening_t *ls, ngx_log_t *log)
{
    ngx_int_t     rc;
    ngx_socket_t  s;

    s = ngx_handoff_find_inherited(ls);

    if (s != (ngx_socket_t) -1) {

        if (ngx_nonblocking(s) == -1) {
            ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                          ngx_nonblocking_n " %V failed", &ls->addr_text);
            return NGX_ERROR;
        }

        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "using inherited socket #%d for %V", s, &ls->addr_text);

        ls->fd = s;

        return NGX_OK;
    }

    rc = ngx_handoff_check_path(ls, log);

    if (rc != NGX_OK) {
        return rc;
    }

    s = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      ngx_socket_n " %V failed", &ls->addr_text);
        return NGX_ERROR;
    }

    if (ngx_nonblocking(s) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      ngx_nonblocking_n " %V failed", &ls->addr_text);

    } else {

        rc = ngx_test_config ? ngx_handoff_check_directory(ls, log)
                             : ngx_handoff_bind(s, ls, log);

        if (rc == NGX_OK) {
            ls->fd = s;
            return NGX_OK;
        }
    }

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      ngx_close_socket_n " %V failed", &ls->addr_text);
    }

    return NGX_ERROR;
}


static ngx_socket_t
ngx_handoff_find_inherited(ngx_listening_t *ls)
{
    int              type;
    char            *pid, *fds;
    ngx_int_t        n, i;
    socklen_t        len;
    ngx_socket_t     s;
    ngx_sockaddr_t   sa;

    pid = getenv("LISTEN_PID");
    fds = getenv("LISTEN_FDS");

    if (pid == NULL || fds == NULL
        || ngx_atoi((u_char *) pid, ngx_strlen(pid)) != (ngx_int_t) ngx_pid)
    {
        return (ngx_socket_t) -1;
    }

    n = ngx_atoi((u_char *) fds, ngx_strlen(fds));

    for (i = 0; i < n; i++) {
        s = (ngx_socket_t) (NGX_HANDOFF_LISTEN_FDS_START + i);

        len = sizeof(int);

        if (getsockopt(s, SOL_SOCKET, SO_TYPE, (void *) &type, &len) == -1
            || type != SOCK_DGRAM)
        {
            continue;
        }

        len = sizeof(ngx_sockaddr_t);

        if (getsockname(s, &sa.sockaddr, &len) == 0
            && ngx_handoff_same_path(ls->sockaddr, &sa.sockaddr, len))
        {
            return s;
        }
    }

    return (ngx_socket_t) -1;
}


ngx_uint_t
ngx_handoff_is_inherited(ngx_listening_t *ls, ngx_listening_t *inherited)
{
    return inherited->inherited
           && inherited->type == SOCK_DGRAM
           && ngx_handoff_same_path(ls->sockaddr, inherited->sockaddr,
                                    inherited->socklen);
}


/*
 * A socket is bound under a hidden name, a dot and its own one, before it gets
 * its own by rename(); getsockname() tells the hidden one ever after.
 */

static ngx_uint_t
ngx_handoff_same_path(struct sockaddr *configured, struct sockaddr *bound,
    socklen_t socklen)
{
    char    path[sizeof(struct sockaddr_un) + 1];
    char   *want, *slash;
    size_t  len, dir;

    if (configured->sa_family != AF_UNIX || bound->sa_family != AF_UNIX
        || socklen <= offsetof(struct sockaddr_un, sun_path)
        || socklen > sizeof(struct sockaddr_un))
    {
        return 0;
    }

    len = socklen - offsetof(struct sockaddr_un, sun_path);

    ngx_memcpy(path, ((struct sockaddr_un *) bound)->sun_path, len);
    path[len] = '\0';

    want = ((struct sockaddr_un *) configured)->sun_path;

    if (ngx_strcmp(path, want) == 0) {
        return 1;
    }

    slash = strrchr(want, '/');
    dir = slash ? (size_t) (slash + 1 - want) : 0;

    return ngx_strncmp(path, want, dir) == 0
           && path[dir] == '.'
           && ngx_strcmp(&path[dir + 1], &want[dir]) == 0;
}


/* a file that a crash has left stands in nobody's way, a live process does */

static ngx_int_t
ngx_handoff_check_path(ngx_listening_t *ls, ngx_log_t *log)
{
    int               rc;
    char             *path;
    ngx_err_t         err;
    ngx_socket_t      s;
    ngx_file_info_t   fi;

    path = ((struct sockaddr_un *) ls->sockaddr)->sun_path;

    /* there has to be room for the dot of the hidden name */

    if (ngx_strlen(path) + 2 > sizeof(struct sockaddr_un)
                               - offsetof(struct sockaddr_un, sun_path))
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "the path of a \"handoff\" socket is too long: %V",
                      &ls->addr_text);
        return NGX_ERROR;
    }

    if (lstat(path, &fi) == -1) {
        return NGX_OK;
    }

    if ((fi.st_mode & S_IFMT) != S_IFSOCK) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"%s\" is there already, and not a socket", path);
        return NGX_ERROR;
    }

    s = ngx_socket(AF_UNIX, SOCK_DGRAM, 0);

    if (s == (ngx_socket_t) -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      ngx_socket_n " %V failed", &ls->addr_text);
        return NGX_ERROR;
    }

    rc = connect(s, ls->sockaddr, ls->socklen);
    err = ngx_socket_errno;

    if (ngx_close_socket(s) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      ngx_close_socket_n " %V failed", &ls->addr_text);
    }

    if (rc == -1 && (err == NGX_ECONNREFUSED || err == NGX_ENOENT)) {
        return NGX_OK;
    }

    if (rc == -1 && err != EPROTOTYPE) {
        ngx_log_error(NGX_LOG_EMERG, log, err,
                      "connect() to %V failed, so it may be in use",
                      &ls->addr_text);
        return NGX_ERROR;
    }

    if (ngx_test_config) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, log, NGX_EADDRINUSE,
                  "bind() to %V failed", &ls->addr_text);

    return NGX_DECLINED;
}


/* "nginx -t" makes no file: it might be in the way of an nginx that starts */

static ngx_int_t
ngx_handoff_check_directory(ngx_listening_t *ls, ngx_log_t *log)
{
    char  dir[sizeof(struct sockaddr_un)];

    ngx_handoff_directory(dir,
                          ((struct sockaddr_un *) ls->sockaddr)->sun_path);

    if (access(dir, W_OK|X_OK) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "no socket can be made in \"%s\" for %V",
                      dir, &ls->addr_text);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_handoff_bind(ngx_socket_t s, ngx_listening_t *ls, ngx_log_t *log)
{
    char                *path, *slash;
    size_t               len, dir;
    struct sockaddr_un   hidden;

    path = ((struct sockaddr_un *) ls->sockaddr)->sun_path;
    len = ngx_strlen(path);

    slash = strrchr(path, '/');
    dir = slash ? (size_t) (slash + 1 - path) : 0;

    ngx_memzero(&hidden, sizeof(struct sockaddr_un));
    hidden.sun_family = AF_UNIX;
    ngx_memcpy(hidden.sun_path, path, dir);
    hidden.sun_path[dir] = '.';
    ngx_memcpy(&hidden.sun_path[dir + 1], &path[dir], len - dir);

    (void) ngx_delete_file(hidden.sun_path);

    /* the file is born with the mode of the socket, less the umask */

    if (fchmod(s, S_IRUSR|S_IWUSR|S_IRGRP|S_IWGRP) == -1
        || bind(s, (struct sockaddr *) &hidden, sizeof(struct sockaddr_un))
           == -1)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_socket_errno,
                      "bind() to %V failed", &ls->addr_text);
        return NGX_ERROR;
    }

    if (ngx_handoff_set_access(ls, hidden.sun_path, log) == NGX_OK) {

        if (ngx_rename_file(hidden.sun_path, path) != NGX_FILE_ERROR) {
            return NGX_OK;
        }

        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      ngx_rename_file_n " %s to %s failed",
                      hidden.sun_path, path);
    }

    (void) ngx_delete_file(hidden.sun_path);

    return NGX_ERROR;
}


/* who may write to the file may hand over connections */

static ngx_int_t
ngx_handoff_set_access(ngx_listening_t *ls, char *path, ngx_log_t *log)
{
    char             dir[sizeof(struct sockaddr_un)];
    ngx_file_info_t  fi, di;

    if (chmod(path, S_IRUSR|S_IWUSR|S_IRGRP|S_IWGRP) == -1) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "chmod() \"%s\" failed", path);
        return NGX_ERROR;
    }

    ngx_handoff_directory(dir, path);

    if (ngx_file_info(dir, &di) == NGX_FILE_ERROR
        || ngx_file_info(path, &fi) == NGX_FILE_ERROR)
    {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      ngx_file_info_n " of %V failed", &ls->addr_text);
        return NGX_ERROR;
    }

    if (fi.st_gid != di.st_gid && chown(path, (uid_t) -1, di.st_gid) == -1) {
        ngx_log_error(NGX_LOG_WARN, log, ngx_errno,
                      "%V doesn't get the group of its directory",
                      &ls->addr_text);
    }

    return NGX_OK;
}


static void
ngx_handoff_directory(char *dir, char *path)
{
    char  *slash;

    slash = strrchr(path, '/');

    if (slash == NULL) {
        ngx_cpystrn((u_char *) dir, (u_char *) ".", 2);
        return;
    }

    /* with its slash, so that it's right for the root, too */

    ngx_cpystrn((u_char *) dir, (u_char *) path, slash - path + 2);
}
