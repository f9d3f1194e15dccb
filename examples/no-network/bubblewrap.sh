#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command under bubblewrap: no network, no other processes, and no files but /usr and a directory to
# read, and the site's.
# usage: bubblewrap.sh SITE READ-ONLY-DIRECTORY COMMAND...   (the directories keep their paths)
set -eu
site=$1 directory=$2
shift 2
exec bwrap --unshare-all --die-with-parent --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib \
    --symlink usr/lib64 /lib64 --proc /proc --dev /dev --ro-bind "$directory" "$directory" --bind "$site" "$site" -- "$@"
