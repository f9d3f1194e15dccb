#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows Django under gunicorn behind proxyd: the application sees the clients' addresses and their TLS, and new
# code is taken up (HUP) while clients come. Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=django.example.test

answering_worker() { client 127.0.0.44 / | sed -n 's/.*worker \([0-9]*\),.*/\1/p'; }

# only_new_workers OLD...: whether none of these is there.
only_new_workers() {
    local worker
    for worker in "$@"; do
        if kill -0 "$worker" 2>/dev/null; then return 1; fi
    done
}

need gunicorn=gunicorn /usr/lib/python3/dist-packages/django=python3-django
make_directory django "$name"
start_proxyd
fill gunicorn.conf.py
cp "$here/project.py" "$dir/"
serve gunicorn.log "$name" gunicorn --config "$dir/gunicorn.conf.py" --chdir "$dir" project
gunicorn=${groups[-1]}
wait_for "the site socket" site_sockets "$name" 1
echo "proxyd listens on 127.0.0.1, port $tls_port. gunicorn believes that it has 443."
echo
head_row "Django"
show_request 127.0.0.11 /
show_request 127.0.0.22 / --header "X-Forwarded-For: 192.0.2.1"
echo "  (The second request claims in X-Forwarded-For to be somebody else's.)"
echo
hold /
show_open gunicorn "$gunicorn"
release

mapfile -t old < <(pgrep -P "$gunicorn")
kill -HUP "$gunicorn"
show_request 127.0.0.33 /
wait_for "the end of the old workers" only_new_workers "${old[@]}"
show_request 127.0.0.55 /
worker=$(answering_worker)
[[ " ${old[*]} " != *" $worker "* ]] || fail "an old worker answered"
echo "Reloaded (HUP) in between: new workers answer."
echo
echo "gunicorn's own access log:"
sed 's/^/  /' "$dir/access.log"
