#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command in a network namespace of its own, which has no interface but a loopback that is down.
# usage: namespace.sh SITE READ-ONLY-DIRECTORY COMMAND...   (the directories keep their paths)
set -eu
shift 2
# A new namespace's queues are short, whatever they are outside; a socket keeps the length that it was made with.
# shellcheck disable=SC2016  # for the inner shell
exec unshare --user --map-root-user --net -- sh -euc '
    echo 512 >/proc/sys/net/unix/max_dgram_qlen
    exec "$@"' namespace "$@"
