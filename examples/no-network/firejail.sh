#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command under firejail, without network; what else firejail may forbid, its profiles know.
# usage: firejail.sh SITE READ-ONLY-DIRECTORY COMMAND...   (the directories keep their paths)
set -eu
site=$1 directory=$2
shift 2
exec firejail --quiet --noprofile --net=none --private-dev --caps.drop=all --nonewprivs --read-only="$directory" \
    --read-write="$site" -- "$@"
