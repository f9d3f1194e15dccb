#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows routing by application protocol: nginx serves all names, but a CA that validates one of them by
# ACME's tls-alpn-01 reaches another program; and a route that not everybody may use. Everything lives
# in a temporary directory, and nothing stays behind.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"

# make_certificate NAME FILES... as openssl wants them
make_certificate() {
    local name=$1
    shift
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name" "$@" \
        2>>"$dir/openssl.log"
}

# What an ACME client does for each name: a certificate with the name and the SHA-256 of what the CA has asked
# for, in a critical extension (RFC 8737 section 3), and its key.
make_challenge() {
    local name=$1 digest
    digest=$(printf %s "$2" | sha256sum | cut -c 1-64)
    make_certificate "$name" -addext "subjectAltName=DNS:$name" \
        -addext "1.3.6.1.5.5.7.1.31=critical,DER:0420$digest" -keyout "$dir/new.key" -out "$dir/new.crt"
    cat "$dir/new.key" "$dir/new.crt" >"$dir/challenges/$name.pem"
}

proxyd_is_ready_or_gone() {
    grep -q ' notice ready: ' "$dir/proxyd.log" || ! kill -0 "${groups[-1]}" 2>/dev/null
}

# At the first port that nobody else has.
start_proxyd() {
    for tls_port in {8443..8462}; do
        sed -e "s|@DIRECTORY@|$dir|; s|@TLS_PORT@|$tls_port|; s|@USER@|$(id -un)|" "$here/proxyd.json" >"$dir/proxyd.json"
        : >"$dir/proxyd.log"
        start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
        wait_for "proxyd to be ready" proxyd_is_ready_or_gone
        if grep -q ' notice ready: ' "$dir/proxyd.log"; then return; fi
        grep -q 'Address already in use' "$dir/proxyd.log" || fail "proxyd did not start"
        unset 'groups[-1]'
    done
    fail "the ports 8443 to $tls_port are all taken"
}

has_site_socket() { compgen -G "$dir/sites/$1/$tls_port*.sock" >/dev/null; }

# request NAME SOURCE: what curl gets
request() {
    curl -q --noproxy '*' --silent --show-error --max-time "$DeadlineSeconds" --interface "$2" \
        --cacert "$dir/certificate.pem" --resolve "$1:$tls_port:127.0.0.1" "https://$1:$tls_port/" 2>&1 || true
}

# validate NAME: what a CA sees of the certificate
validate() {
    openssl s_client -connect "127.0.0.1:$tls_port" -servername "$1" -alpn acme-tls/1 </dev/null >"$dir/seen" 2>&1 || true
    grep -o 'ALPN protocol: .*' "$dir/seen" || true
    openssl x509 -in "$dir/seen" -noout -text 2>/dev/null | grep -o 'Subject: .*\|1\.3\.6\.1\.5\.5\.7\.1\.31.*' || true
    grep -o 'tlsv1 [a-z ]*' "$dir/seen" || true
}

# show WHAT EXPECTED COMMAND...: runs it, and checks that the output has the expected text
show() {
    local what=$1 expected=$2 output
    shift 2
    output=$("$@")
    printf '\n%s:\n%s\n' "$what" "$output" | sed '3,$s/^/    /'
    [[ $output == *"$expected"* ]] || fail "expected: $expected"
}

for program in nginx /usr/bin/python3 curl openssl; do
    command -v "$program" >/dev/null || fail "there is no $program"
done
dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-acme-XXXXXX")
mkdir "$dir"/{sites,sites/blog,sites/acme,nginx,challenges}
cp "$here/nginx.conf" "$dir/nginx/"
make_certificate blog.example.test -addext "subjectAltName=DNS:blog.example.test,DNS:intern.example.test" \
    -keyout "$dir/key.pem" -out "$dir/certificate.pem"
make_challenge blog.example.test "token.thumbprint"
make_challenge new.example.test "other.thumbprint"

start_proxyd
start nginx.log "$proxyrun_program" --site "$dir/sites/blog" --port "$tls_port=9443" -- \
    nginx -e stderr -p "$dir/nginx" -c nginx.conf
start responder.log /usr/bin/python3 "$here/responder.py" "$dir/sites/acme/$tls_port.sock" "$dir/challenges"
for site in blog acme; do wait_for "the site socket of $site" has_site_socket "$site"; done
echo "proxyd listens on 127.0.0.1:$tls_port; nginx and the responder are behind it."

show "A visitor of blog.example.test is served by nginx" "nginx at blog.example.test saw 127.0.0.11" \
    request blog.example.test 127.0.0.11
show "A CA that validates blog.example.test comes to the responder" "ALPN protocol: acme-tls/1" \
    validate blog.example.test
show "So does one for new.example.test, which has no route yet" "CN = new.example.test" validate new.example.test
show "The responder has no challenge for other.example.test" "unrecognized name" validate other.example.test
show "intern.example.test is for 127.0.0.0/28, so 127.0.0.12 gets in" "saw 127.0.0.12" \
    request intern.example.test 127.0.0.12
show "127.0.0.200 doesn't" "access denied" request intern.example.test 127.0.0.200
show "127.0.0.9 doesn't, since deny goes before allow" "access denied" request intern.example.test 127.0.0.9

# A client may know before the line is written.
has_all_lines() { [[ $(grep -c ' access ' "$dir/proxyd.log") -ge 7 ]]; }
wait_for "proxyd's access log" has_all_lines
printf '\nproxyd says why:\n'
sed -n 's/.* client=\([0-9.]*\):.* name=\([^ ]*\) alpn=\([^ ]*\) route=\([^ ]*\) .* verdict=\([^ ]*\) reason=\([^ ]*\) .*/    \1 \2 alpn=\3 route=\4 \5 \6/p' \
    "$dir/proxyd.log"
