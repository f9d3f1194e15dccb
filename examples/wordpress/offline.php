<?php
// For the example only: it neither asks wordpress.org for anything nor sends mail.
add_filter('pre_http_request', fn() => new WP_Error('offline', 'There is no network here.'));
add_filter('pre_wp_mail', '__return_true');
