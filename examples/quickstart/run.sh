#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd and three servers that know nothing of it, requests each by name, and shows that each
# saw the client's own address. Everything lives in a temporary directory, and nothing stays behind.
#
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

usage() {
    cat <<'TEXT'
usage: examples/quickstart/run.sh [--stay] [BUILD]

Shows proxyd at work, with nginx, Node.js and Python's http.server behind it.

  --stay   leave everything running until Ctrl-C
  BUILD    the build directory (default: $PROXYD_BUILD, else build/release, or the installed programs)
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
stay=
build=
for argument in "$@"; do
    case $argument in
    --stay) stay=yes ;;
    --help | -h) usage; exit 0 ;;
    -*) echo "run.sh: unknown option '$argument', see --help" >&2; exit 2 ;;
    *) build=$argument ;;
    esac
done

DeadlineSeconds=30

# --- processes: each is the leader of its own group, so that its children can be found ------------

dir=
groups=()
interrupted=

# start LOG COMMAND...: leaves the process id in $started.
start() {
    local log=$1
    shift
    setsid "$@" </dev/null >>"$dir/$log" 2>&1 &
    started=$!
    groups+=("$started")
}

# "PID NAME" of whoever still runs in our groups.
running() {
    cat /proc/[0-9]*/stat 2>/dev/null |
        sed -n 's/^\([0-9]*\) (\(.*\)) \([^Z]\) [0-9]* \([0-9]*\) .*/\4 \1 \2/p' |
        while read -r group pid name; do
            [[ " ${groups[*]} " != *" $group "* ]] || echo "$pid $name"
        done
}

nobody_runs() { [[ -z $(running) ]]; }

# wait_for WHAT CONDITION...: looks again and again until the condition is true.
wait_for() {
    local what=$1 end=$((SECONDS + DeadlineSeconds))
    shift
    until "$@"; do
        if ((SECONDS >= end)); then
            echo "run.sh: waited $DeadlineSeconds s in vain for $what" >&2
            return 1
        fi
        sleep 0.02
    done
}

signal_all() {
    local group
    for group in "${groups[@]}"; do kill "-$1" -- "-$group" "$group" 2>/dev/null || true; done
}

finish() {
    local status=$? log
    trap '' INT TERM HUP
    trap - EXIT
    [[ -n $dir ]] || exit "$status"
    signal_all TERM
    if ! wait_for "the end of all processes" nobody_runs; then
        running >&2
        signal_all KILL
        status=1
    fi
    if [[ $status -ne 0 && -z $interrupted ]]; then
        for log in "$dir"/*.log; do
            [[ -s $log ]] || continue
            printf '\n--- %s\n' "${log##*/}" >&2
            tail -n 30 "$log" >&2
        done
    fi
    rm -rf "$dir"
    [[ $status -ne 0 ]] || echo "All processes have ended, and $dir is gone."
    exit "$status"
}

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

# shellcheck source=examples/programs.sh
. "$here/../programs.sh"

# --- what runs -------------------------------------------------------------------------------------

check_programs() {
    local program
    find_programs "$build"
    for program in nginx node /usr/bin/python3 curl openssl; do
        command -v "$program" >/dev/null || fail "there is no $program"
    done
}

make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-quickstart-XXXXXX")
    mkdir "$dir"/{sites,sites/blog,sites/app,sites/files,nginx,content}
    cp "$here/nginx.conf" "$dir/nginx/"
    echo "A page from Python's http.server." >"$dir/content/index.html"
    head -c 64M /dev/urandom >"$dir/large"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=blog.example.test -addext "subjectAltName=DNS:blog.example.test,DNS:app.example.test" \
        -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/openssl.log"
}

proxyd_is_ready_or_gone() {
    grep -q ' notice ready: ' "$dir/proxyd.log" || ! kill -0 "$proxyd" 2>/dev/null
}

# False if it ended at once.
start_proxyd() {
    sed -e "s|@DIRECTORY@|$dir|; s|@USER@|$(id -un)|; s|@TLS_PORT@|$tls_port|; s|@HTTP_PORT@|$http_port|" \
        "$here/proxyd.json" >"$dir/proxyd.json"
    : >"$dir/proxyd.log"
    start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
    proxyd=$started
    wait_for "proxyd to be ready" proxyd_is_ready_or_gone
    grep -q ' notice ready: ' "$dir/proxyd.log"
}

# The first pair of ports that nobody else has.
start_proxyd_on_free_ports() {
    local n
    for n in {0..19}; do
        tls_port=$((8443 + n)) http_port=$((8080 + n))
        if start_proxyd; then return; fi
        grep -q 'Address already in use' "$dir/proxyd.log" || fail "proxyd did not start"
        unset 'groups[-1]'
    done
    fail "the ports 8443 to $tls_port, or 8080 to $http_port, are all taken"
}

has_site_socket() { compgen -G "$dir/sites/$1/*.sock" >/dev/null; }

# The whole of what puts a server behind proxyd: its usual command line, after "proxyrun ... --".
start_servers() {
    local site
    start nginx.log "$proxyrun_program" --site "$dir/sites/blog" --port "$tls_port=9443" -- \
        nginx -e stderr -p "$dir/nginx" -c nginx.conf
    start node.log "$proxyrun_program" --site "$dir/sites/app" --port "$tls_port=9444" -- \
        node "$here/server.js" "$dir/certificate.pem" "$dir/key.pem" "$dir/large"
    node=$started
    start python.log "$proxyrun_program" --site "$dir/sites/files" --port "$http_port=9080" -- \
        /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$dir/content" 9080
    for site in blog app files; do wait_for "the site socket of $site" has_site_socket "$site"; done
}

# --- what is shown ---------------------------------------------------------------------------------

# curl, without the user's settings and proxies; the names exist nowhere but here.
client() {
    curl -q --noproxy '*' --silent --show-error --fail --max-time "$DeadlineSeconds" \
        --cacert "$dir/certificate.pem" --resolve "blog.example.test:$tls_port:127.0.0.1" \
        --resolve "app.example.test:$tls_port:127.0.0.1" --resolve "files.example.test:$http_port:127.0.0.1" "$@"
}

# The address of the last client in Python's own log; its port isn't in there.
python_saw() { sed -n 's/^\([0-9.]*\) - - .*"GET .*/\1/p' "$dir/python.log" | tail -n 1; }

# show_request URL SOURCE: one row of the table.
show_request() {
    local url=$1 source=$2 used saw seen_as server
    used=$(client --interface "$source" --dump-header "$dir/headers" --output "$dir/answer" \
        --write-out '%{local_ip}:%{local_port}' "$url")
    server=$(sed -n 's/^Server: \(.* \)\{0,1\}\([^ \r]*\)[ \r]*$/\2/p' "$dir/headers")
    saw=$(<"$dir/answer")
    seen_as=same
    if [[ $server == Python/* ]]; then
        saw=$(python_saw)
        [[ $saw == "${used%:*}" ]] || seen_as=DIFFERENT
        saw+=:-
    elif [[ $saw != "$used" ]]; then
        seen_as=DIFFERENT
    fi
    printf '  %-33s  %-15s  %-17s  %-17s  %s\n' "$url" "$server" "$used" "$saw" "$seen_as"
    [[ $seen_as == same ]] || fail "the server did not see the client's address"
}

show_requests() {
    printf '  %-33s  %-15s  %-17s  %-17s\n' "requested by curl" "answered by" "curl's address" "the server saw"
    show_request "https://blog.example.test:$tls_port/" 127.0.0.11
    show_request "https://app.example.test:$tls_port/" 127.0.0.22
    show_request "http://files.example.test:$http_port/" 127.0.0.33
    echo "  (The log of Python's http.server has no port.)"
}

access_lines() { grep ' access ' "$dir/proxyd.log"; }
has_access_lines() { [[ $(access_lines | wc -l) -ge $1 ]]; }

# How many of a process's descriptors are established TCP connections (state 01, proc(5)).
connections_of() {
    find "/proc/$1/fd" -type l -printf '%l\n' |
        awk 'FNR == NR { own[$1] = 1; next } $4 == "01" && ("socket:[" $10 "]") in own { n++ } END { print n + 0 }' \
            - /proc/net/tcp
}

# A download that cannot end before somebody reads it: the pipe and the socket buffers hold less.
show_kill() {
    local before download by_node by_proxyd
    mkfifo "$dir/pipe"
    client --output - "https://app.example.test:$tls_port/download" >"$dir/pipe" &
    download=$!
    exec 9<"$dir/pipe"
    head -c 1M <&9 >"$dir/received"
    before=$(stat -c %s "$dir/received")
    by_node=$(connections_of "$node")
    by_proxyd=$(connections_of "$proxyd")
    echo "Now curl downloads 64 MiB from Node.js. Connections open in Node.js: $by_node, in proxyd: $by_proxyd."
    [[ $by_node == 1 && $by_proxyd == 0 ]] || fail "that should be 1 and 0"
    # In braces: bash would tell of the kill on stderr.
    { kill -KILL "$proxyd"; wait "$proxyd"; } 2>/dev/null || true
    unset 'groups[0]'
    groups=("${groups[@]}")
    cat <&9 >>"$dir/received"
    exec 9<&-
    wait "$download" || fail "the download broke off"
    cmp "$dir/received" "$dir/large" || fail "the download is damaged"
    echo "Then proxyd was killed (SIGKILL), when curl had read $before bytes. The download went on: curl"
    echo "has all $(stat -c %s "$dir/received") bytes, and they are those of the file."
}

# what_is_next WHAT PATH [ARGUMENT]: the path as one would type it here.
what_is_next() { printf '  %-36s  %s\n' "$(realpath --relative-base="$PWD" "$here/$2")${3:+ $3}" "$1"; }

show_what_is_next() {
    echo
    echo "What to try next"
    what_is_next "the same, left running for play" run.sh --stay
    what_is_next "what it consists of: the servers' configurations are ordinary ones" README.md
    what_is_next "how to put your own server behind proxyd" ../../README.md
}

show_urls() {
    local url
    cat <<TEXT

It runs until you press Ctrl-C. Try, in another terminal:

TEXT
    for url in "blog.example.test:$tls_port" "app.example.test:$tls_port" "files.example.test:$http_port"; do
        if [[ $url == *:"$tls_port" ]]; then
            echo "  curl --cacert $dir/certificate.pem --resolve $url:127.0.0.1 https://$url/"
        else
            echo "  curl --resolve $url:127.0.0.1 http://$url/"
        fi
    done
    cat <<TEXT

  tail -f $dir/proxyd.log      one line per connection, and why it went where it went
  kill -9 $proxyd; $proxyd_program --config $dir/proxyd.json
                               another proxyd in its place, which is yours to end; what runs goes on
TEXT
}

check_programs
trap finish EXIT
trap 'interrupted=yes; exit 130' INT
trap 'interrupted=yes; exit 143' TERM HUP
make_directory
start_proxyd_on_free_ports
start_servers

cat <<TEXT
proxyd listens on 127.0.0.1, ports $tls_port (for TLS) and $http_port (for HTTP). Behind it run nginx with TLS and
two workers, Node.js with https, and Python's http.server, as they were installed. curl requests
each by name, from an address of its own each time:

TEXT
show_requests
wait_for "proxyd's access log" has_access_lines 3
cat <<TEXT

What happened: proxyd accepted each connection, looked at its first bytes without taking them (the
name in the TLS hello, or the Host line), and gave the socket itself to the server that the name
belongs to. nginx and Node.js did TLS with their own certificate, straight with curl. So every server
saw curl's address, and all that proxyd keeps of a connection is a line in its log:

$(access_lines)

TEXT
show_kill
start_proxyd || fail "proxyd did not start again"
client --output /dev/null "https://blog.example.test:$tls_port/"
echo "proxyd was started again, and the servers serve behind it as before. Nobody told them."

if [[ -z $stay ]]; then
    show_what_is_next
    echo
    exit 0
fi
trap 'exit 0' INT TERM HUP
show_urls
disown "$proxyd"  # or bash would tell of its end, if somebody takes the hint
start sleep.log sleep infinity
wait "$started"
