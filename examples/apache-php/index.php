<?php
// An ordinary page. What stands in REMOTE_ADDR is the client's address, not that of a proxy.
header('Content-Type: text/plain');
$text = "PHP " . PHP_VERSION . " in Apache, {$_SERVER['SERVER_PROTOCOL']}, HTTPS {$_SERVER['HTTPS']}: "
      . "client {$_SERVER['REMOTE_ADDR']}:{$_SERVER['REMOTE_PORT']}\n";
header('Content-Length: ' . strlen($text));
echo $text;
