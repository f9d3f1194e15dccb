#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs a command in a root directory of its own, without network: /usr and a directory are there to read, the
# site's directory to write, and nothing else, /proc included.
# usage: chroot.sh SITE READ-ONLY-DIRECTORY COMMAND...   (the directories keep their paths)
set -eu
# shellcheck disable=SC2016  # for the inner shell
exec unshare --user --map-root-user --net --mount -- sh -euc '
    site=$1 directory=$2
    shift 2
    echo 512 >/proc/sys/net/unix/max_dgram_qlen
    # In this mount namespace alone: nobody else sees it, and it ends with the server.
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir -p /mnt/usr /mnt/dev "/mnt$site" "/mnt$directory"
    for link in bin lib lib64; do ln -s "usr/$link" "/mnt/$link"; done
    : >/mnt/dev/null
    mount --bind /dev/null /mnt/dev/null
    mount --rbind /usr /mnt/usr
    mount --rbind "$directory" "/mnt$directory"
    mount --bind "$site" "/mnt$site"
    for place in "/mnt/usr" "/mnt$directory"; do mount -o remount,bind,ro,nosuid,nodev "$place"; done
    exec chroot /mnt "$@"' chroot "$@"
