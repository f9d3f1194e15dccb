# SPDX-License-Identifier: MIT
# An ordinary HTTPS server with WEBrick: webrick_server.rb PORT CERTIFICATE KEY
#
# GET / answers with how the server sees its client. SIGTERM ends it when its clients are served.
require "webrick"
require "webrick/https"

port, certificate, key = ARGV
server = WEBrick::HTTPServer.new(
  Port: port.to_i, BindAddress: "0.0.0.0", SSLEnable: true,
  SSLCertificate: OpenSSL::X509::Certificate.new(File.read(certificate)),
  SSLPrivateKey: OpenSSL::PKey.read(File.read(key)),
  AccessLog: [[$stdout.tap { |out| out.sync = true }, "seen %h %r"]]
)
server.mount_proc("/") do |request, response|
  _, client_port, _, client_address = request.peeraddr
  response.body = "client #{client_address} #{client_port}\n"
end
trap("TERM") { server.shutdown }
server.start
