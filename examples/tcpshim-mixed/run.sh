#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Starts proxyd with one port; behind it nginx, under proxyrun, terminates TLS for one name, and tcpshim
# passes another name through to two machines (addresses of loopback), of which one is then stopped.
# Everything lives in a temporary directory, and nothing stays behind.
#
# shellcheck disable=SC2317  # functions that traps and wait_for call are not unreachable
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/stage.sh
. "$here/../stage.sh"
# Addresses of loopback that nobody else is likely to use, so that the ports are free.
network=127.$((RANDOM % 200 + 20)).$((RANDOM % 256))
address=$network.1 shop=$network.2

for program in "$proxyd_program" "$proxyrun_program" "$tcpshim_program" nginx curl openssl; do
    command -v "$program" >/dev/null || fail "there is no $program"
done

dir=$(mktemp -d "${TMPDIR:-/tmp}/proxyd-mixed-XXXXXX")
chmod 711 "$dir" # nginx's workers are another user's
mkdir -p "$dir"/{sites/{www,shop},nginx}
# fill FILE [NUMBER]
fill() { sed "s|@DIRECTORY@|$dir|g; s|@ADDRESS@|$address|g; s|@SHOP@|$shop|g; s|@USER@|$(id -un)|g; s|@NUMBER@|${2-}|g" "$here/$1"; }
fill proxyd.json >"$dir/proxyd.json"
fill tcpshim.json >"$dir/tcpshim.json"
fill www.conf >"$dir/nginx/www.conf"
for number in 1 2; do fill shop.conf "$number" >"$dir/nginx/shop$number.conf"; done
for name in www shop; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=$name.example.test" \
        -addext "subjectAltName=DNS:$name.example.test" -keyout "$dir/$name.key" -out "$dir/$name.pem" 2>"$dir/openssl.log"
done
cat "$dir/www.pem" "$dir/shop.pem" >"$dir/trusted.pem"

start proxyd.log "$proxyd_program" --config "$dir/proxyd.json"
wait_for "proxyd to be ready" grep -q ' notice ready: ' "$dir/proxyd.log"
start www.log "$proxyrun_program" --site "$dir/sites/www" --port 8443=9443 -- nginx -e stderr -p "$dir/nginx" -c www.conf
start shop1.log nginx -e stderr -p "$dir/nginx" -c shop1.conf
first_shop=${groups[-1]}
start shop2.log nginx -e stderr -p "$dir/nginx" -c shop2.conf
start tcpshim.log "$tcpshim_program" --config "$dir/tcpshim.json"

has_socket() { compgen -G "$dir/sites/$1/*.sock" >/dev/null; }
for name in www shop; do wait_for "the site socket of $name" has_socket "$name"; done
shimctl() { "$proxyctl_program" --control "$dir/tcpshim.sock" "$@"; }
answered_checks() { [[ $(shimctl --json backends | grep -c '"checks_good":[1-9].*"state":"up"') == 2 ]]; }
wait_for "both machines of the shop" answered_checks

client() {
    curl -q --noproxy '*' --silent --show-error --fail --max-time "$DeadlineSeconds" \
        --cacert "$dir/trusted.pem" --connect-to "::$address:8443" "https://$1.example.test/"
}
certificate() {
    openssl s_client -connect "$address:8443" -servername "$1.example.test" </dev/null 2>/dev/null | sed -n 's/^subject=//p'
}

echo "Two names on $address:8443, each with its own server's certificate:"
for name in www shop; do printf '  %-18s %-24s %s\n' "$name.example.test" "$(certificate "$name")" "$(client "$name")"; done
echo
echo "The shop's machines take turns: $(client shop), $(client shop)."

kill -TERM -- "-$first_shop"
echo "One of them is stopped:"
for _ in 1 2 3 4; do
    answer=$(client shop) || fail "a client has noticed"
    [[ $answer == "shop, machine 2" || $answer == "shop, machine 1" ]] || fail "the shop says '$answer'"
done
is_down() { shimctl backends | grep -q "$shop:9441 *down"; }
wait_for "tcpshim's notice of it" is_down
[[ $(client shop) == "shop, machine 2" ]] || fail "the other machine did not answer"
echo "no client has noticed, and tcpshim says:"
echo
shimctl backends
