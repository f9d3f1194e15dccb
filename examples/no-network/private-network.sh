#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command as systemd runs a service with the settings of no-network.service: by hand, for machines where
# systemd doesn't run, and to see what each setting does.
# usage: private-network.sh SITE READ-ONLY-DIRECTORY COMMAND...   (the directories keep their paths)
set -eu
# shellcheck disable=SC2016  # for the inner shell
exec unshare --user --map-root-user --net --mount -- sh -euc '
    site=$1
    shift 2
    mount --bind "$site" "$site"                    # ReadWritePaths=
    mount -o remount,bind,ro /                      # ProtectSystem=strict
    ip link set lo up                               # PrivateNetwork=yes, as unshare --net
    exec setpriv --no-new-privs --bounding-set=-all "$@"' private-network "$@"
