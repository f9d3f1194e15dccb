<?php
// What the package wordpress reads as /etc/wordpress/config-NAME.php. Nothing in here knows of proxyd, and
// nothing in the manner of X-Forwarded-For is needed: WordPress sees the client itself, and its TLS.
// run.sh fills in what is between @.
define('DB_NAME', 'wordpress');
define('DB_USER', 'wordpress');
define('DB_PASSWORD', '@PASSWORD@');
define('DB_HOST', 'localhost:@DIRECTORY@/db/mariadb.sock');
define('WP_CONTENT_DIR', '@DIRECTORY@/wp-content');
define('AUTH_KEY', '@SECRET@');
define('SECURE_AUTH_KEY', '@SECRET@');
define('LOGGED_IN_KEY', '@SECRET@');
define('NONCE_KEY', '@SECRET@');
define('DISABLE_WP_CRON', true);
