#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd, and the same server behind it five times, each confined in another way and none with a network:
# requests each by name, and shows what the server sees. Everything lives in a temporary directory, and nothing stays
# behind. Ways that this machine doesn't allow are said so.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"

Ways=(namespace bubblewrap firejail chroot private-network)

proxyd_is_ready_or_gone() {
    grep -q ' notice ready: ' "$dir/proxyd.log" || ! kill -0 "${groups[-1]}" 2>/dev/null
}

# At the first port that nobody else has.
start_proxyd() {
    for http_port in {8080..8119}; do
        sed -e "s|@DIRECTORY@|$dir|; s|@HTTP_PORT@|$http_port|; s|@USER@|$(id -un)|" "$here/proxyd.json" >"$dir/proxyd.json"
        : >"$dir/proxyd.log"
        start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
        wait_for "proxyd to be ready" proxyd_is_ready_or_gone
        if grep -q ' notice ready: ' "$dir/proxyd.log"; then return; fi
        grep -q 'Address already in use' "$dir/proxyd.log" || fail "proxyd did not start"
        unset 'groups[-1]'
    done
    fail "the ports 8080 to $http_port are all taken"
}

# confined WAY COMMAND...: as a server is started below
confined() {
    local way=$1
    shift
    "$here/$way.sh" "$dir/sites/$way.example.test" "$dir/programs" "$@"
}

# The whole of what puts a confined server behind proxyd: its command line, after "proxyrun ... --", after what
# confines it. PROXYD_PRELOAD: without /proc, proxyrun can't find out where it is.
start_server() {
    start "$1.log" "$here/$1.sh" "$dir/sites/$1.example.test" "$dir/programs" \
        env PROXYD_PRELOAD="$dir/programs/lib/libpreload.so" "$dir/programs/bin/proxyrun" \
        --site "$dir/sites/$1.example.test" --port "$http_port=8000" -- /usr/bin/python3 "$dir/programs/server.py" 8000
}

has_site_socket() { compgen -G "$dir/sites/$1.example.test/$http_port*.sock" >/dev/null; }

# curl, without the user's settings and proxies; the names exist nowhere but here.
client() {
    local name=$1.example.test
    shift
    curl -q --noproxy '*' --silent --show-error --no-progress-meter --fail --max-time "$DeadlineSeconds" \
        --resolve "$name:$http_port:127.0.0.1" "$@" "http://$name:$http_port/"
}

# One row of the table.
show_server() {
    local way=$1 used answer saw interfaces way_out queue
    answer=$(client "$way" --interface 127.0.0.11 --write-out '%{local_ip}:%{local_port}')
    used=${answer##*$'\n'}
    IFS='|' read -r saw interfaces way_out queue <<<"${answer%%$'\n'*}"
    printf '  %-16s  %-16s  %-16s  %-10s  %-23s  %s\n' "$way" "$used" "$saw" "$interfaces" "$way_out" "$queue"
    [[ $saw == "$used" ]] || fail "the server did not see the client's address"
    [[ $interfaces == lo && $way_out == "Network is unreachable" ]] || fail "the server has a network"
}

# show_crowd WAY: all at once, many more than the kernel queues at a site socket.
show_crowd() {
    local served
    served=$(for _ in {1..40}; do
        printf 'url = "http://%s.example.test:%s/"\noutput = "/dev/null"\n' "$1" "$http_port"
    done | client "$1" --parallel --parallel-immediate --parallel-max 41 --header 'Connection: close' \
        --output /dev/null --write-out '%{http_code}\n' --config - | grep -c '^200$') || true
    printf '  %-16s  %s of 41 clients were served\n' "$1" "$served"
    [[ $served == 41 ]] || fail "somebody was not served"
}

for program in /usr/bin/python3 curl unshare setpriv; do
    command -v "$program" >/dev/null || fail "there is no $program"
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-no-network-XXXXXX")
mkdir "$dir/sites" "$dir/programs" "$dir/programs/bin" "$dir/programs/lib"
cp "$proxyrun_program" "$dir/programs/bin/"
cp "$libpreload" "$dir/programs/lib/"
cp "$here/server.py" "$dir/programs/"

start_proxyd
ways=()
for way in "${Ways[@]}"; do
    mkdir "$dir/sites/$way.example.test"
    if confined "$way" "$dir/programs/bin/proxyrun" --version >"$dir/attempt.log" 2>&1; then
        ways+=("$way")
        start_server "$way"
    else
        reason=$(tail -n 1 "$dir/attempt.log")
        echo "not on this machine, or not for this user: $way (${reason:-without a reason})"
    fi
done
[[ ${#ways[@]} -gt 0 ]] || fail "this machine allows none of these ways"
for way in "${ways[@]}"; do wait_for "the site socket of $way" has_site_socket "$way"; done

cat <<TEXT
proxyd listens on 127.0.0.1:$http_port. Behind it runs the same small server, confined in different ways. All that
it shares with proxyd is its site's directory. Where a client came from, and what the server saw:

TEXT
printf '  %-16s  %-16s  %-16s  %-10s  %-23s  %s\n' "confined by" "the client" "the server saw" interfaces \
    "when it connects out" "clients in the queue"
for way in "${ways[@]}"; do show_server "$way"; done
cat <<TEXT

A new network namespace begins with queues of 11 clients (net.unix.max_dgram_qlen 10), and a server has the length of
the namespace in which it made its socket. Where that can be changed before the server starts, it was. Where
not, the others wait in proxyd until there is room, and nobody is lost. Forty-one clients at once:

TEXT
for way in "${ways[@]}"; do show_crowd "$way"; done
