#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd with one port and three names: two servers on this machine, under proxyrun, and one on
# "another machine" (an address of loopback of its own), which is reached over TCP through the tcpshim that
# proxyd runs; asks each. Everything lives in a temporary directory, and nothing stays behind.
#
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"
# Addresses of loopback that nobody else is likely to use, so that the ports are free.
network=127.$((RANDOM % 200 + 20)).$((RANDOM % 256))
address=$network.1 nas=$network.2 visitor=$network.77

for program in "$proxyd_program" "$proxyrun_program" "$tcpshim_program" nginx /usr/bin/python3 curl openssl; do
    command -v "$program" >/dev/null || fail "there is no $program"
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-tcpshim-XXXXXX")
chmod 711 "$dir" # nginx's workers are another user's
mkdir -p "$dir"/{sites/{blog,files}.home.test,nginx,blog,files}
fill() { sed "s|@DIRECTORY@|$dir|g; s|@ADDRESS@|$address|g; s|@NAS@|$nas|g; s|@USER@|$(id -un)|g" "$here/$1" >"$dir/${2-}$1"; }
fill proxyd.json
fill nginx.conf nginx/
echo "blog: a page from this machine" >"$dir/blog/index.html"
echo "files: another one" >"$dir/files/index.html"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=nas.home.test \
    -addext "subjectAltName=DNS:nas.home.test" -keyout "$dir/key.pem" -out "$dir/certificate.pem" 2>"$dir/openssl.log"

start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
wait_for "proxyd to be ready" grep -q ' notice ready: ' "$dir/proxyd.log"
for name in blog files; do
    start "$name.log" "$proxyrun_program" --site "$dir/sites/$name.home.test" --port 8443=9080 -- \
        /usr/bin/python3 -m http.server --bind 127.0.0.1 --directory "$dir/$name" 9080
done
start nas.log nginx -e stderr -p "$dir/nginx" -c nginx.conf

has_socket() { compgen -G "$dir/sites/$1.home.test/*.sock" >/dev/null; }
for name in blog files; do wait_for "the site socket of $name" has_socket "$name"; done
shimctl() { "$proxyctl_program" --control "$dir/tcpshim.sock" "$@"; }
nas_is_up() { shimctl backends | grep -q "$nas:9443 *up"; }
wait_for "the NAS" nas_is_up

# client URL: from the visitor's address, without the user's settings and proxies.
client() {
    curl -q --noproxy '*' --silent --show-error --fail --max-time "$DeadlineSeconds" --interface "$visitor" \
        --cacert "$dir/certificate.pem" --connect-to "::$address:8443" "$1"
}
answers() { client "$1" >"$dir/answer" 2>/dev/null; } # nginx may be about to listen still
wait_for "an answer of the NAS" answers https://nas.home.test/

echo "Three names on $address:8443, for a visitor from $visitor:"
for url in http://blog.home.test/ http://files.home.test/ https://nas.home.test/; do
    printf '  %-24s %s\n' "$url" "$(client "$url")"
done
[[ $(client https://nas.home.test/) == "nas: you are $visitor" ]] || fail "the NAS did not see the visitor's address"

relayed() { [[ $(grep -c ' access .* to_client=[1-9]' "$dir/proxyd.log") -ge 3 ]]; }
wait_for "tcpshim's access lines" relayed
echo
echo "What tcpshim has relayed to the other machine:"
sed -n 's/.* access .* client=\([^ ]*\) .* backend=\([^ ]*\) .* \(ending=[^ ]*\) .* \(to_backend=[^ ]*\) \(to_client=[^ ]*\) .*/  \1 -> \2 \3 \4 \5/p' "$dir/proxyd.log"
echo
shimctl backends
