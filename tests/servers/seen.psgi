# SPDX-License-Identifier: MIT
# For PSGI servers: answers with how the server sees its client.
use strict;
use warnings;

sub {
    my $env = shift;
    my $text = "client $env->{REMOTE_ADDR} $env->{REMOTE_PORT} by $$\n";
    return [200, ["Content-Type" => "text/plain", "Content-Length" => length $text], [$text]];
};
