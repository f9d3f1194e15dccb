#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows nginx behind proxyd: TLS and HTTP, its own log with the clients' addresses, a reload and a binary
# upgrade while clients come. Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=blog.example.test

# nginx goes into the background, in a session of its own: its workers' and its successor's group.
add_daemon() { [[ ! -s $dir/nginx.pid ]] || groups+=("$(<"$dir/nginx.pid")"); }

# Also when it is interrupted early.
end() {
    local status=$?
    set +e
    [[ -z $dir ]] || add_daemon
    (exit "$status")
    finish
}
trap end EXIT

master_of() { ps -o ppid= -p "$1" | tr -d ' '; }
has_pid() { [[ -s $dir/$1 ]]; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# The master whose worker answers now.
answering_master() { master_of "$(client 127.0.0.44 / | sed -n 's/.*worker \([0-9]*\):.*/\1/p')"; }
answers_as() { [[ $(answering_master) == "$1" ]]; }

# Clients, one after the other, until told to stop. In HTTP/1.1: a worker of nginx 1.22 that ends cuts off HTTP/2
# clients whose first request is on its way, on TCP too (of 192 clients, 60 reloads cut off 14).
request_on() {
    until [[ -e $dir/enough ]]; do
        client 127.0.0.55 / --http1.1 --output "$dir/body-$BASHPID" --write-out '%{http_code}\n' || true
    done >"$dir/codes" 2>"$dir/clients.log"
}

has_codes() { [[ $(wc -l <"$dir/codes") -ge $1 ]]; }

# some_more: until some clients more have been answered.
some_more() { wait_for "more clients" has_codes $(($(wc -l <"$dir/codes") + 5)); }

need nginx=nginx-light
make_directory nginx "$name"
start_proxyd
fill nginx.conf
serve nginx.log "$name" "$(command -v nginx)" -e "$dir/error.log" -c "$dir/nginx.conf"
wait_for "nginx to be in the background" has_pid nginx.pid
master=$(<"$dir/nginx.pid")
add_daemon
wait_for "the site sockets" site_sockets "$name" 4
echo "proxyd listens on 127.0.0.1, ports $tls_port and $http_port. nginx believes that it has 443 and 80, IPv4 and IPv6."
echo
head_row "nginx"
show_request 127.0.0.11 / --http2
show_request 127.0.0.22 / --http1.1
echo "  http://$name/ leads to $(redirection 127.0.0.33)"

echo
echo "nginx's own access log:"
sed 's/^/  /' "$dir/access.log"
echo
hold /
show_open nginx "$master"
release

: >"$dir/codes"
request_on &
clients=$!
groups+=("$clients")
some_more
kill -HUP "$master"
some_more
echo "Reloaded (HUP) while clients came."
trap finish EXIT # the group is known, and the pid file changes
kill -USR2 "$master"
wait_for "the new binary" has_pid nginx.pid.oldbin
wait_for "its pid" has_pid nginx.pid
new_master=$(<"$dir/nginx.pid")
kill -QUIT "$master"
wait_for "the end of the old nginx" is_gone "$master"
wait_for "an answer of the new nginx" answers_as "$new_master"
some_more
touch "$dir/enough"
wait "$clients"
echo "Upgraded (USR2, QUIT): the new nginx has taken over the site sockets of the old one."
total=$(wc -l <"$dir/codes") answered=$(grep -c '^200$' "$dir/codes")
echo "Meanwhile $total clients came, one after the other; $answered were answered."
[[ $total == "$answered" ]] || fail "that should be all"
