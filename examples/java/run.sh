#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows Tomcat behind proxyd: TLS by Java itself, HTTP/2, and the clients' addresses in its pages and its log.
# Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=java.example.test
tomcat=/usr/share/tomcat10

need java=default-jre-headless $tomcat/bin/catalina.sh=tomcat10-common
make_directory java "$name"
start_proxyd
mkdir -p "$dir"/{conf,logs,temp,webapps/ROOT/WEB-INF,work}
cp "$here/server.xml" "$dir/conf/"
cp "$here/web.xml" "$dir/webapps/ROOT/WEB-INF/"
cp "$here/index.jsp" "$dir/webapps/ROOT/"
# What Debian's service does: catalina.sh finds a Java by itself, and becomes it.
serve tomcat.log "$name" env CATALINA_HOME=$tomcat CATALINA_BASE="$dir" CATALINA_TMPDIR="$dir/temp" \
    JAVA_OPTS="-Djava.awt.headless=true -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData" \
    $tomcat/bin/catalina.sh run
java=${groups[-1]}
wait_for "the site sockets" site_sockets "$name" 2
echo "proxyd listens on 127.0.0.1, ports $tls_port and $http_port. Tomcat believes that it has 443 and 80."
echo
head_row "Tomcat"
show_request 127.0.0.11 / --http2
show_request 127.0.0.22 / --http1.1
echo "  http://$name/ leads to $(redirection 127.0.0.33)"
echo
hold /
show_open Tomcat "$java"
release
echo
echo "Tomcat's own access log:"
sed 's/^/  /' "$dir/logs/access.log"
