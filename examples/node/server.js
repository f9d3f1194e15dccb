// SPDX-License-Identifier: MIT
//
// An ordinary server with two processes, HTTP/2 over TLS and a plain port that redirects. Nothing in
// here knows of proxyd.
//
// usage: node server.js CERTIFICATE KEY
'use strict';

const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');

const [certificate, key] = process.argv.slice(2);

function answer(request, response) {
    const {remoteAddress, remotePort} = request.socket;
    const text = `Node.js ${process.version}, process ${process.pid}: client ${remoteAddress}:${remotePort}\n`;
    response.writeHead(200, {'Content-Type': 'text/plain', 'Content-Length': text.length});
    response.end(text);
}

function redirect(request, response) {
    response.writeHead(301, {Location: `https://${request.headers.host.replace(/:.*/, '')}${request.url}`});
    response.end();
}

function serve() {
    const options = {cert: fs.readFileSync(certificate), key: fs.readFileSync(key), allowHTTP1: true};
    // An IPv4 address: on '::', which is the default, Node.js would print 127.0.0.1 as it prints ::1.
    http2.createSecureServer(options, answer).listen(443, '0.0.0.0');
    http.createServer(redirect).listen(80, '0.0.0.0');
}

if (cluster.isPrimary) {
    cluster.fork();
    cluster.fork();
    process.on('SIGTERM', () => cluster.disconnect(() => process.exit(0)));
} else {
    serve();
}
