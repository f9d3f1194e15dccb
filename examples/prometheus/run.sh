#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd, a web server behind it, and Prometheus; makes some requests, and asks Prometheus what
# it knows of them. Everything lives in a temporary directory, and nothing stays behind.
#
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"
# An address of loopback that nobody else is likely to use, so that all ports are free.
address=127.$((RANDOM % 200 + 20)).$((RANDOM % 256)).$((RANDOM % 254 + 1))

check_programs() {
    local program
    for program in prometheus promtool /usr/bin/python3 curl; do
        command -v "$program" >/dev/null || fail "there is no $program"
    done
}

# The files of this example, with this run's places, and a second instead of 15 between two looks.
make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-prometheus-XXXXXX")
    mkdir -p "$dir/sites/files" "$dir/content"
    echo "A page." >"$dir/content/index.html"
    sed "s|@DIRECTORY@|$dir|; s|@ADDRESS@|$address|; s|@USER@|$(id -un)|" "$here/proxyd.json" >"$dir/proxyd.json"
    sed "s|127.0.0.1:9100|$address:9100|; s|15s|1s|" "$here/prometheus.yml" >"$dir/prometheus.yml"
    cp "$here/alerts.yml" "$dir/"
}

client() { curl -q --noproxy '*' --silent --show-error --max-time "$DeadlineSeconds" "$@"; }

request() {
    client --output /dev/null --write-out "  %{http_code} for $1\n" --resolve "$1:8080:$address" "http://$1:8080/"
}

# value EXPRESSION: what Prometheus says to it; nothing as long as it knows nothing.
value() {
    client --get "http://$address:9090/api/v1/query" --data-urlencode "query=$1" | /usr/bin/python3 -c '
import json, sys
for result in json.load(sys.stdin)["data"]["result"]:
    print(result["value"][1])'
}

is_ready() { client --output /dev/null --fail "http://$address:9090/-/ready" 2>/dev/null; }
has_value() { [[ $(value "$1") == "$2" ]]; }

show() {
    wait_for "'$1' to be $2" has_value "$1" "$2"
    printf '  %-76s %s\n' "$1" "$2"
}

check_programs
make_directory

echo "What promtool says of the files:"
promtool check config "$dir/prometheus.yml" | sed '/^$/d; s|^|  |'

start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
wait_for "proxyd to be ready" grep -q ' notice ready: ' "$dir/proxyd.log"
start python.log "$proxyrun_program" --site "$dir/sites/files" --port 8080=9080 -- \
    /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$dir/content" 9080
wait_for "the site socket" compgen -G "$dir/sites/files/*.sock" >/dev/null
start prometheus.log prometheus --config.file "$dir/prometheus.yml" --storage.tsdb.path "$dir/data" \
    --web.listen-address "$address:9090"
wait_for "Prometheus to be ready" is_ready

echo
echo "Requests through proxyd:"
request files.example.test
request files.example.test
request nobody.example.test

echo
echo "What Prometheus knows a moment later:"
show 'up{job="proxyd"}' 1
show 'proxyd_sessions_total{verdict="handed_over",reason="exact_name"}' 2
show 'proxyd_sessions_total{verdict="rejected",reason="no_route"}' 1
show 'proxyd_handoff_seconds_count' 2
show 'histogram_quantile(1, proxyd_handoff_seconds_bucket) < bool 1' 1
show 'proxyd_config_last_reload_successful' 1
echo
echo "All of it: curl http://127.0.0.1:9100/metrics on a machine with this proxyd.json; docs/METRICS.md explains it."
