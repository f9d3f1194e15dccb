// An ordinary HTTPS server. Nothing in here knows of proxyd.
// usage: node server.js CERTIFICATE KEY FILE
const fs = require('fs');
const https = require('https');

const [certificate, key, file] = process.argv.slice(2);
const options = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };

https.createServer(options, (request, response) => {
  if (request.url === '/download') {
    fs.createReadStream(file).pipe(response);
    return;
  }
  const { remoteAddress, remotePort } = request.socket;
  response.setHeader('Server', `Node.js/${process.version.slice(1)}`);
  response.setHeader('Content-Type', 'text/plain');
  response.end(`${remoteAddress}:${remotePort}\n`);
}).listen(9444, '127.0.0.1');
