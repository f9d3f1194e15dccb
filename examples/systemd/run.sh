#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows a service of systemd's behind proxyd, with a socket unit as keeper: its units are checked, and then run
# as systemd would, with systemd-socket-activate. The service is killed again and again while clients come, and
# none is lost. Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=files.example.org
Kills=5

# The units of this directory, for programs of this build.
check_units() {
    mkdir -p "$dir/units/files.service.d"
    cp "$here"/files.{service,socket} "$dir/units/"
    sed "s|/usr/bin/proxyrun|$proxyrun_program|" "$here/files.service.d/proxyd.conf" >"$dir/units/files.service.d/proxyd.conf"
    SYSTEMD_UNIT_PATH="$dir/units:" systemd-analyze verify --man=no --recursive-errors=no "$dir"/units/files.{service,socket} \
        >"$dir/verify.log" 2>&1 || fail "systemd-analyze: $(<"$dir/verify.log")"
    [[ ! -s $dir/verify.log ]] || fail "systemd-analyze: $(<"$dir/verify.log")"
}

# What the units say, with this run's ports: value KEY FILE
value() { sed -n "s/^$1=\(..*\)/\1/p" "$here/$2" | tail -n 1; }

request() {
    curl -q --noproxy '*' --silent --show-error --fail --max-time "$DeadlineSeconds" --interface "$1" \
        --resolve "$name:$http_port:127.0.0.1" "${@:2}" "http://$name:$http_port/page"
}

# Clients, one after the other, until told to stop.
request_on() {
    until [[ -e $dir/enough ]]; do
        request 127.0.0.55 --output "$dir/body-$BASHPID" --write-out '%{http_code}\n' || true
    done >"$dir/codes" 2>"$dir/clients.log"
}

has_codes() { [[ $(wc -l <"$dir/codes") -ge $1 ]]; }
runs_anew() { [[ $(<"$dir/service.pid") != "$1" ]]; }

need systemd-analyze=systemd systemd-socket-activate=systemd /usr/bin/python3=python3
make_directory systemd "$name"
check_units
echo "systemd-analyze verify has nothing to say against the service, its drop-in and its socket unit."
mkdir "$dir/srv"
echo "A page." >"$dir/srv/page"
start_proxyd

# The drop-in's command and the socket unit's file, with this run's directory and port.
file=$(basename "$(value ListenDatagram files.socket)")
command=$(value ExecStart files.service.d/proxyd.conf)
command=${command/\/usr\/bin\/proxyrun --site $name --port 80/$proxyrun_program --site $dir/sites/$name --port $http_port=80}
read -ra command <<<"$command"
start files.log env -C "$dir/srv" systemd-socket-activate --datagram --listen="$dir/sites/$name/${file/#80./$http_port.}" \
    /bin/bash "$here/restart.sh" "$dir/service.pid" "${command[@]}"
wait_for "the site socket" site_sockets "$name" 1
[[ ! -e $dir/service.pid ]] || fail "nobody should run yet"
echo "proxyd listens on 127.0.0.1, port $http_port. The site socket is there; the service is not."
echo
request 127.0.0.11 >"$dir/answer"
echo "The first client started the service, and got: $(<"$dir/answer")"
row "http://$name/page" 127.0.0.11 "$(sed -n 's/^\([0-9.]*\) - - .*"GET \/page .*/\1/p' "$dir/files.log" | tail -n 1)"

: >"$dir/codes"
request_on &
clients=$!
groups+=("$clients")
for ((kills = 0; kills < Kills; kills++)); do
    wait_for "more clients" has_codes $(($(wc -l <"$dir/codes") + 5))
    service=$(<"$dir/service.pid")
    kill -KILL "$service"
    wait_for "the service to be started again" runs_anew "$service"
done
wait_for "more clients" has_codes $(($(wc -l <"$dir/codes") + 5))
touch "$dir/enough"
wait "$clients"
total=$(wc -l <"$dir/codes") answered=$(grep -c '^200$' "$dir/codes")
echo
echo "The service was killed $Kills times (SIGKILL), and started again, while $total clients came, one after the other."
echo "$answered were answered; $((total - answered)) were with the service when it was killed."
((total - answered <= Kills)) || fail "that should be at most one for each kill"
