#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd with one port, and behind it nginx with TLS, Python's http.server, sshd and a mail
# server; asks each in its protocol. Everything lives in a temporary directory, and nothing stays behind.
#
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"
# An address of loopback that nobody else is likely to use, so that the port is free.
address=127.$((RANDOM % 200 + 20)).$((RANDOM % 256)).$((RANDOM % 254 + 1))

check_programs() {
    local program
    for program in nginx /usr/sbin/sshd ssh ssh-keygen /usr/bin/python3 curl openssl; do
        command -v "$program" >/dev/null || fail "there is no $program"
    done
    /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || fail "there is no aiosmtpd (Debian: python3-aiosmtpd)"
}

make_directory() {
    dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-mixed-XXXXXX")
    chmod 711 "$dir" # nginx's workers are another user's
    mkdir -p "$dir"/{sites/{web,plain,ssh,mail},nginx,content}
    sed "s|@DIRECTORY@|$dir|; s|@ADDRESS@|$address|; s|@USER@|$(id -un)|" "$here/proxyd.json" >"$dir/proxyd.json"
    cp "$here/nginx.conf" "$dir/nginx/"
    echo "A page from Python's http.server." >"$dir/content/index.html"
    printf 'Subject: Hello\r\n\r\nThrough port 8443.\r\n' >"$dir/letter"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=www.example.test \
        -addext "subjectAltName=DNS:www.example.test" -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/openssl.log"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/host-key"
    ssh-keygen -q -t ed25519 -N '' -f "$dir/user-key"
    [[ $EUID -ne 0 ]] || mkdir -p /run/sshd # Debian's sshd wants it there, empty
}

proxyrun() { start "$1.log" "$proxyrun_program" --site "$dir/sites/$1" --port "8443=$2" -- "${@:3}"; }

has_site_socket() { compgen -G "$dir/sites/$1/*.sock" >/dev/null; }

start_servers() {
    local site
    proxyrun web 9443 nginx -e stderr -p "$dir/nginx" -c nginx.conf
    proxyrun plain 9080 /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$dir/content" 9080
    proxyrun ssh 9022 /usr/sbin/sshd -D -e -f /dev/null -o ListenAddress=127.0.0.1:9022 -o HostKey="$dir/host-key" \
        -o AuthorizedKeysFile="$dir/user-key.pub" -o PidFile=none -o UsePAM=no -o StrictModes=no -o PermitRootLogin=yes
    proxyrun mail 9025 /usr/bin/python3 -m aiosmtpd -n -l 127.0.0.1:9025 -c aiosmtpd.handlers.Mailbox "$dir/mailbox"
    for site in web plain ssh mail; do wait_for "the site socket of $site" has_site_socket "$site"; done
}

client() {
    curl -q --noproxy '*' --silent --show-error --max-time "$DeadlineSeconds" --cacert "$dir/certificate.pem" \
        --resolve "www.example.test:8443:$address" "$@"
}

# show PROTOCOL WHAT-IT-SAID: fails if it said nothing.
show() {
    [[ -n $2 ]] || fail "$1: no answer"
    printf '  %-6s %s\n' "$1" "$2"
}

check_programs
make_directory
start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
wait_for "proxyd to be ready" grep -q ' notice ready: ' "$dir/proxyd.log"
start_servers

echo "Everything on $address:8443:"
show TLS "$(client https://www.example.test:8443/)"
show HTTP "$(client http://www.example.test:8443/)"
# shellcheck disable=SC2016  # the other side expands it
show SSH "$(ssh -F none -p 8443 -i "$dir/user-key" -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
    -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR "$address" 'echo "sshd saw $SSH_CONNECTION"')"
client "smtp://$address:8443" --mail-from me@example.test --mail-rcpt you@example.test --upload-file "$dir/letter"
show SMTP "$(grep -h '^Subject:' "$dir"/mailbox/new/*) (in the mailbox)"

has_four_lines() { [[ $(grep -c ' access ' "$dir/proxyd.log") -ge 4 ]]; }
wait_for "proxyd's access log" has_four_lines
echo
echo "What proxyd took them for, and how long it took it to know (microseconds):"
sed -n 's/.* access .* protocol=\([^ ]*\) .* route=\([^ ]*\) .* hello_us=\([0-9]*\) .*/  \1  \2  \3/p' "$dir/proxyd.log"
