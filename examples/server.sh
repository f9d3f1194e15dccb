# SPDX-License-Identifier: MIT
#
# What the run.sh of examples with one server behind proxyd share, beside stage.sh, which it sources:
# packages, a certificate, proxyd on free ports, the server under proxyrun, a client, and looks at who
# has a connection open. Sourced with "set -euo pipefail" and $here set.
#
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # for those who source it, and from stage.sh
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"
PATH=$PATH:/usr/sbin:/sbin
DeadlineSeconds=60
tls_port='' http_port='' proxyd='' holder=''
tls_bound=443 http_bound=80 # what the server's own configuration says

# need FILE-OR-PROGRAM=PACKAGE...: says how to get all that is missing.
need() {
    local pair missing=()
    for pair in "$@" curl=curl openssl=openssl ps=procps; do
        compgen -G "${pair%=*}" >/dev/null || command -v "${pair%=*}" >/dev/null || missing+=("${pair#*=}")
    done
    [[ ${#missing[@]} -eq 0 ]] || fail "not everything is installed; as root:" \
        "apt install --no-install-recommends $(printf '%s\n' "${missing[@]}" | sort -u | paste -sd ' ')"
}

# Of the newest PHP that Apache has a module for, such as "8.2".
php_version() { basename -s .so /usr/lib/apache2/modules/libphp*.so | sed 's/^libphp//' | sort -V | tail -n 1; }

# make_directory EXAMPLE SITE: $dir, with the site's directory and a certificate for the name.
make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-$1-XXXXXX")
    chmod 711 "$dir" # a server that is started by root serves as another user, who must get there
    if [[ $EUID -eq 0 ]] && ! setpriv --reuid=nobody --clear-groups test -x "$dir"; then
        rmdir "$dir"
        dir=$(mktemp -d "/tmp/proxyd-$1-XXXXXX")
        chmod 711 "$dir"
    fi
    mkdir -p "$dir/sites/$2"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$2" \
        -addext "subjectAltName=DNS:$2" -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/openssl.log"
}

# fill FILE: one of the example's files, with this run's places.
fill() {
    sed "s|@DIRECTORY@|$dir|g; s|@USER@|$(id -un)|g; s|@TLS_PORT@|$tls_port|g; s|@HTTP_PORT@|$http_port|g" "$here/$1" >"$dir/$1"
}

proxyd_is_ready_or_gone() { grep -q ' notice ready: ' "$dir/proxyd.log" || ! kill -0 "$proxyd" 2>/dev/null; }

# On the first pair of ports of 127.0.0.1 that nobody else has.
start_proxyd() {
    for tls_port in {8443..8482}; do
        http_port=$((tls_port - 8443 + 8080))
        fill proxyd.json
        : >"$dir/proxyd.log"
        start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
        proxyd=${groups[-1]}
        wait_for "proxyd to be ready" proxyd_is_ready_or_gone
        if grep -q ' notice ready: ' "$dir/proxyd.log"; then return; fi
        grep -q 'Address already in use' "$dir/proxyd.log" || fail "proxyd did not start"
        unset 'groups[-1]'
    done
    fail "the ports 8443 to $tls_port, or 8080 to $http_port, are all taken"
}

# site_sockets SITE COUNT: whether so many are there.
site_sockets() { [[ $(compgen -G "$dir/sites/$1/*.sock" | wc -l) -ge $2 ]]; }

# serve LOG SITE COMMAND...: under proxyrun; the ports that it binds are not opened.
serve() {
    start "$1" "$proxyrun_program" --site "$dir/sites/$2" --port "$tls_port=$tls_bound" --port "$http_port=$http_bound" -- "${@:3}"
}

# client SOURCE URL-PATH CURL-ARGUMENT...: requests it from $name, without the user's settings and proxies.
client() {
    curl -q --noproxy '*' --silent --show-error --fail --max-time "$DeadlineSeconds" --interface "$1" \
        --cacert "$dir/certificate.pem" --resolve "$name:$tls_port:127.0.0.1" --resolve "$name:$http_port:127.0.0.1" \
        "${@:3}" "https://$name:$tls_port$2"
}

# redirection SOURCE: where plain HTTP leads.
redirection() {
    curl -q --noproxy '*' --silent --show-error --max-time "$DeadlineSeconds" --interface "$1" --output "$dir/answer" \
        --write-out '%{redirect_url}' --resolve "$name:$http_port:127.0.0.1" "http://$name:$http_port/"
}

# row WHAT CLIENT SEEN: fails if the server has seen somebody else.
row() {
    local verdict=same
    [[ $2 == "$3" ]] || verdict=DIFFERENT
    printf '  %-34s %-17s %-17s %s\n' "$1" "$2" "$3" "$verdict"
    [[ $verdict == same ]] || fail "the server did not see the client's address"
}

head_row() { printf '  %-34s %-17s %s\n' "request" "the client is" "$1 saw"; }

# show_request SOURCE PATH CURL-ARGUMENT...: where the answer has a line "client ADDRESS:PORT".
show_request() {
    local used
    used=$(client "$1" "$2" --output "$dir/answer" --write-out '%{local_ip}:%{local_port}' "${@:3}")
    row "https://$name$2" "$used" "$(sed -n 's/.*client \([0-9.]*:[0-9]*\).*/\1/p' "$dir/answer" | head -n 1)"
}

# family PID: it, its descendants, and who else is in its process group.
family() {
    ps -A -o pid= -o ppid= -o pgid= | awk -v first="$1" '{ parent[$1] = $2; group[$1] = $3 }
        END {
            for (pid in parent) {
                for (p = pid; p in parent && p != first && group[p] != first;) p = parent[p]
                if (p in parent) print pid
            }
        }'
}

# established PID: how many connections to proxyd's ports its family has (state 01, proc(5)).
established() {
    local pid ports
    ports=$(printf '%04X|%04X' "$tls_port" "$http_port")
    for pid in $(family "$1"); do
        find "/proc/$pid/fd" -type l -printf '%l\n' 2>/dev/null || true
    done | awk -v ports=":($ports)\$" 'FNR == NR { own[$1] = 1; next }
        $4 == "01" && $2 ~ ports && ("socket:[" $10 "]") in own { n++ } END { print n + 0 }' \
        - <(cat /proc/net/tcp /proc/net/tcp6)
}

# hold PATH: a connection that stays open until release; its end of the pipe is $held.
hold() {
    mkfifo "$dir/requests"
    exec {held}<>"$dir/requests"
    setsid openssl s_client -quiet -connect "127.0.0.1:$tls_port" -servername "$name" -CAfile "$dir/certificate.pem" \
        -verify_return_error <"$dir/requests" >"$dir/held.log" 2>&1 &
    holder=$!
    groups+=("$holder")
    ask_held "$1"
}

answers_held() { [[ $(grep -c '^HTTP/1.1 200' "$dir/held.log" 2>/dev/null) -ge $1 ]]; }

# ask_held PATH: another request over the held connection.
ask_held() {
    local before
    before=$(grep -c '^HTTP/1.1 200' "$dir/held.log" 2>/dev/null || true)
    printf 'GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n' "$1" "$name" "$tls_port" >&"$held"
    wait_for "an answer over the connection that is held" answers_held $((before + 1))
}

release() {
    exec {held}>&-
    kill -TERM -- "-$holder" 2>/dev/null || true
    { wait "$holder"; } 2>/dev/null || true
    rm "$dir/requests"
}

# show_open SERVER PID: where the one connection is that is open now.
show_open() {
    local by_server by_proxyd
    by_server=$(established "$2") by_proxyd=$(established "$proxyd")
    echo "A connection is held open now. Connections open in $1: $by_server, in proxyd: $by_proxyd."
    [[ $by_server == 1 && $by_proxyd == 0 ]] || fail "that should be 1 and 0"
}
