#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows Apache with mod_php and mod_ssl behind proxyd: PHP and the access log have the clients' addresses,
# and a graceful restart disturbs nobody. Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=www.example.test

was_restarted() { [[ $(grep -c 'resuming normal operations' "$dir/error.log") -ge 2 ]]; }

need apache2=apache2 '/usr/lib/apache2/modules/libphp*.so=libapache2-mod-php'
make_directory apache-php "$name"
start_proxyd
mkdir "$dir/html"
cp "$here/index.php" "$dir/html/"
fill apache2.conf
sed -i "s|@PHP@|$(php_version)|" "$dir/apache2.conf"
serve apache.log "$name" apache2 -f "$dir/apache2.conf" -DFOREGROUND
apache=${groups[-1]}
wait_for "the site sockets" site_sockets "$name" 2
echo "proxyd listens on 127.0.0.1, ports $tls_port and $http_port. Apache believes that it has 443 and 80."
echo
head_row "PHP"
show_request 127.0.0.11 /
show_request 127.0.0.22 /index.php
echo "  http://$name/ leads to $(redirection 127.0.0.33)"
echo
hold /
show_open Apache "$apache"
release

kill -USR1 "$apache"
show_request 127.0.0.44 /
wait_for "the graceful restart" was_restarted
show_request 127.0.0.55 /
echo "Restarted gracefully (USR1, which is what apachectl graceful sends) in between."
echo
echo "Apache's own access log:"
sed 's/^/  /' "$dir/access.log"
