// SPDX-License-Identifier: MIT
// An ordinary server of Node.js: https_server.js PORT ADDRESS CERTIFICATE KEY FILES
//
// GET / answers with how it sees its client, GET /files/NAME with a file, PUT with the body's SHA-256.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const https = require("https");
const path = require("path");

const [port, address, certificate, key, files] = process.argv.slice(2);
const requestCounts = new WeakMap();

function answerText(response, text) {
  response.writeHead(200, { "Content-Length": text.length });
  response.end(text);
}

function describe(request) {
  const socket = request.socket;
  const client = `${socket.remoteAddress} ${socket.remotePort}`;
  const local = `${socket.localAddress} ${socket.localPort}`;
  const protocol = `HTTP/${request.httpVersion}`;
  return `node client ${client} local ${local} protocol ${protocol} request ${requestCounts.get(socket)}\n`;
}

function sendFile(response, file) {
  response.writeHead(200, { "Content-Length": fs.statSync(file).size });
  fs.createReadStream(file).pipe(response);
}

function takeBody(request, response) {
  const digest = crypto.createHash("sha256");
  request.on("data", (part) => digest.update(part));
  request.on("end", () => answerText(response, digest.digest("hex")));
}

function serve(request, response) {
  const socket = request.socket;
  requestCounts.set(socket, (requestCounts.get(socket) || 0) + 1);
  console.log(`seen ${socket.remoteAddress} ${request.method} ${request.url}`);
  if (request.method === "PUT") takeBody(request, response);
  else if (request.url.startsWith("/files/")) sendFile(response, path.join(files, path.basename(request.url)));
  else answerText(response, describe(request));
}

https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, serve)
  .listen(Number(port), address, () => console.log("listening"));
