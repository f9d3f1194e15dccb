# SPDX-License-Identifier: MIT
# For Rack servers: answers with how the server sees its client.
run lambda { |env|
  $stdout.write("seen #{env['REMOTE_ADDR']} #{env['REQUEST_METHOD']} #{env['PATH_INFO']}\n")
  [200, { "Content-Type" => "text/plain" }, ["client #{env['REMOTE_ADDR']} #{env['REMOTE_PORT']} by #{Process.pid}\n"]]
}
