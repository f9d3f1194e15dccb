#!/bin/bash
# SPDX-License-Identifier: MIT
#
# usage: restart.sh PID-FILE COMMAND...
#
# The part of systemd that run.sh needs where no systemd runs: holds the sockets that it was started with (3 and
# up), passes them to the service as sd_listen_fds(3) says, and starts it again whenever it ends.
set -euo pipefail
pid_file=$1
shift
trap 'kill -TERM "$service" 2>/dev/null || true; exit 0' TERM
while true; do
    (
        trap - TERM
        export LISTEN_PID=$BASHPID
        exec "$@"
    ) &
    service=$!
    echo "$service" >"$pid_file"
    wait "$service" || true
done
