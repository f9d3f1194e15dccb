// SPDX-License-Identifier: MIT
// An ordinary server of Node.js: node_server.js KIND PORT CERTIFICATE KEY
//
// KIND is http, https, http2, or cluster (https in two worker processes, to whom the primary deals out
// connections that it has accepted) or cluster-none (where each worker accepts for itself). GET / answers with
// how the server sees its client. SIGTERM ends it when its clients are served; SIGHUP replaces the workers of a cluster.
"use strict";

const cluster = require("cluster");
const fs = require("fs");
const http = require("http");
const http2 = require("http2");
const https = require("https");

const [kind, port, certificate, key] = process.argv.slice(2);
const WorkersCount = 2;

function serve(request, response) {
  const socket = request.stream ? request.stream.session.socket : request.socket;
  const text = `client ${socket.remoteAddress} ${socket.remotePort} by ${process.pid}\n`;
  console.log(`seen ${socket.remoteAddress} ${request.method} ${request.url}`);
  response.writeHead(200, { "Content-Length": text.length });
  response.end(text);
}

function makeServer() {
  if (kind === "http") return http.createServer(serve);
  const identity = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  if (kind === "http2") return http2.createSecureServer({ allowHTTP1: true, ...identity }, serve);
  return https.createServer(identity, serve);
}

function runWorker() {
  const server = makeServer();
  const host = kind === "http" ? undefined : "0.0.0.0"; // undefined is [::], or 0.0.0.0 where there is no IPv6
  server.listen(Number(port), host, () => console.log(`listening ${process.pid}`));
  process.on("SIGTERM", () => server.close(() => process.exit(0)));
}

function runPrimary() {
  for (let count = 0; count < WorkersCount; count++) cluster.fork();
  process.on("SIGTERM", () => cluster.disconnect(() => process.exit(0)));
  process.on("SIGHUP", () => {
    let missing = WorkersCount;
    for (const old of Object.values(cluster.workers)) {
      cluster.fork().once("listening", () => {
        old.disconnect();
        old.once("exit", () => {
          missing--;
          if (missing === 0) console.log("replaced the workers");
        });
      });
    }
  });
}

if (kind.startsWith("cluster")) {
  cluster.schedulingPolicy = kind === "cluster" ? cluster.SCHED_RR : cluster.SCHED_NONE;
}
if (kind.startsWith("cluster") && cluster.isPrimary) runPrimary();
else runWorker();
