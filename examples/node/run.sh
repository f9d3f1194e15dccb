#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows Node.js behind proxyd: HTTP/2 and HTTP/1.1 over TLS from two processes of a cluster, which see the
# clients' addresses. Everything lives in a temporary directory, and nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=app.example.test

answering_process() { client "$1" / | sed -n 's/.*process \([0-9]*\):.*/\1/p'; }
another_answers() { second=$(answering_process 127.0.0.55) && [[ $second != "$first" ]]; }

need node=nodejs
make_directory node "$name"
start_proxyd
serve node.log "$name" node "$here/server.js" "$dir/certificate.pem" "$dir/key.pem"
node=${groups[-1]}
wait_for "the site sockets" site_sockets "$name" 2
echo "proxyd listens on 127.0.0.1, ports $tls_port and $http_port. Node.js believes that it has 443 and 80."
echo
head_row "Node.js"
show_request 127.0.0.11 / --http2
show_request 127.0.0.22 / --http1.1
echo "  http://$name/ leads to $(redirection 127.0.0.33)"
echo
first=$(answering_process 127.0.0.44)
wait_for "an answer of the other process" another_answers
echo "Two processes of a cluster serve, one after the other: $first and $second."
hold /
show_open Node.js "$node"
release
