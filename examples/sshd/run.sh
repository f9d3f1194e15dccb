#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows OpenSSH's sshd behind proxyd: at a port of its own, and at the port of the web servers. Sessions and
# sshd's log have the client's address, and a session outlives a restart of sshd. Everything lives in a temporary
# directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=ssh.example.test

# login PORT SOURCE COMMAND: puts the client's command line into $login.
login() {
    login=(ssh -F none -p "$1" -b "$2" -i "$dir/user-key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes
        -o UserKnownHostsFile="$dir/known_hosts" -o HostKeyAlias="$name" -o LogLevel=ERROR 127.0.0.1 "$3")
}

# show_login PORT SOURCE: what a session says of its client, beside what sshd's log says.
show_login() {
    local seen
    # shellcheck disable=SC2016  # the other side expands it
    login "$1" "$2" 'echo $SSH_CONNECTION'
    seen=$("${login[@]}")
    row "ssh -p $1" "$2:$(cut -d ' ' -f 2 <<<"$seen")" "$(tr ' ' ':' <<<"$seen" | cut -d : -f 1-2)"
    grep -q "Accepted publickey .* from $2 port $(cut -d ' ' -f 2 <<<"$seen") " "$dir/sshd.log" || fail "it is not in sshd's log"
}

session_is_open() { grep -q 'the session is open' "$dir/session.log"; }
session_goes_on() { grep -q 'the session goes on' "$dir/session.log"; }
is_restarted() { [[ $(grep -c 'Server listening on 0.0.0.0 port 443' "$dir/sshd.log") -ge 2 ]]; }

need /usr/sbin/sshd=openssh-server ssh=openssh-client ssh-keygen=openssh-client
make_directory sshd "$name"
ssh-keygen -q -t ed25519 -N '' -f "$dir/host-key"
ssh-keygen -q -t ed25519 -N '' -f "$dir/user-key"
echo "$name $(<"$dir/host-key.pub")" >"$dir/known_hosts"
[[ $EUID -ne 0 ]] || mkdir -p /run/sshd # Debian's sshd wants it there, empty
start_proxyd
fill sshd_config
tls_bound=443 http_bound=22
serve sshd.log "$name" /usr/sbin/sshd -D -e -f "$dir/sshd_config"
sshd=${groups[-1]}
wait_for "the site sockets" site_sockets "$name" 4
echo "proxyd listens on 127.0.0.1: port $http_port is for ssh alone, port $tls_port for all that it knows. sshd believes"
echo "that it has ports 22 and 443, IPv4 and IPv6."
echo
head_row "the session"
show_login "$http_port" 127.0.0.11
show_login "$tls_port" 127.0.0.22
echo

mkfifo "$dir/typing"
# shellcheck disable=SC2016
login "$tls_port" 127.0.0.33 'echo the session is open; read -r line; echo "$line"'
setsid "${login[@]}" <"$dir/typing" >"$dir/session.log" 2>&1 &
session=$!
groups+=("$session")
exec {typing}>"$dir/typing"
wait_for "a session" session_is_open
show_open sshd "$sshd"
kill -HUP "$sshd"
wait_for "the restart of sshd" is_restarted
show_login "$tls_port" 127.0.0.44
echo "the session goes on" >&"$typing"
exec {typing}>&-
wait_for "the session" session_goes_on
wait "$session"
echo "sshd was restarted (HUP: it executes itself again), and took another client; the session went on."
echo
echo "sshd's own log:"
grep 'Accepted publickey' "$dir/sshd.log" | sed 's/^/  /; s/ ED25519 .*//'
