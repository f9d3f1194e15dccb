#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows WordPress behind proxyd, with Apache and a MariaDB of its own: it is installed through proxyd, a visitor
# reads and comments, and WordPress has the visitor's address. Everything lives in a temporary directory, and
# nothing stays behind.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=examples/server.sh
. "$here/../server.sh"
name=blog.example.test
debian=/usr/share/wordpress

random_word() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# Small, and without the synchronising that a database which is thrown away can do without. It refuses to be root.
database_options=(--no-defaults --innodb-flush-method=nosync --innodb-log-file-size=4M --innodb-buffer-pool-size=32M)
[[ $EUID -ne 0 ]] || database_options+=(--user=mysql)

sql() { mariadb --no-defaults --socket "$dir/db/mariadb.sock" --user root --batch --skip-column-names "$@" 2>"$dir/sql.log"; }
database_answers() { sql -e 'SELECT 1' >/dev/null; }

start_database() {
    mkdir "$dir/db" "$dir/db-tmp"
    [[ $EUID -ne 0 ]] || chown mysql "$dir/db" "$dir/db-tmp"
    mariadb-install-db "${database_options[@]}" --datadir="$dir/db" --tmpdir="$dir/db-tmp" --skip-test-db \
        --auth-root-authentication-method=normal >"$dir/install-db.log" 2>&1
    chmod 711 "$dir/db"
    start mariadb.log mariadbd "${database_options[@]}" --datadir="$dir/db" --tmpdir="$dir/db-tmp" \
        --socket="$dir/db/mariadb.sock" --skip-networking
    wait_for "MariaDB" database_answers
    sql -e "CREATE DATABASE wordpress; CREATE USER wordpress@localhost IDENTIFIED BY '$password';
            GRANT ALL ON wordpress.* TO wordpress@localhost"
}

# The package's files, of which those that look for others beside themselves are copied.
unpack_wordpress() {
    mkdir -p "$dir/wordpress" "$dir/wp-content/mu-plugins"
    cp -r "$debian"/*.php "$debian/wp-admin" "$dir/wordpress/"
    ln -s "$debian/wp-includes" "$dir/wordpress/"
    ln -s "$debian/wp-content/themes" "$debian/wp-content/plugins" "$dir/wp-content/"
    cp "$here/offline.php" "$dir/wp-content/mu-plugins/"
    sed "s|/etc/wordpress|$dir|" "$debian/wp-config.php" >"$dir/wordpress/wp-config.php"
    fill "config-$name.php"
    sed -i "s|@PASSWORD@|$password|; s|@SECRET@|$(random_word)|" "$dir/config-$name.php"
    fill apache2.conf
    sed -i "s|@PHP@|$(php_version)|" "$dir/apache2.conf"
}

# The wizard's second page, as a browser sends it.
install_wordpress() {
    client 127.0.0.11 '/wp-admin/install.php?step=2' --output "$dir/answer" \
        --data-urlencode "weblog_title=A blog behind proxyd" --data-urlencode "admin_email=admin@example.test" \
        --data "user_name=admin&admin_password=$password&admin_password2=$password&pw_weak=on&blog_public=0&Submit=Install"
    grep -q '<h1>Success!</h1>' "$dir/answer" || fail "the wizard says: $(sed 's/<[^>]*>//g' "$dir/answer" | grep . | tail -n 5)"
}

# What a visitor posts is in the database with the visitor's address.
comment() {
    client "$1" /wp-comments-post.php --output "$dir/answer" --data-urlencode "author=A visitor" \
        --data-urlencode "email=visitor-$1@example.test" --data-urlencode "comment=Hello from $1" --data "comment_post_ID=1"
    sql wordpress -e "SELECT comment_author_IP FROM wp_comments WHERE comment_content = 'Hello from $1'"
}

need apache2=apache2 '/usr/lib/apache2/modules/libphp*.so=libapache2-mod-php' '/usr/lib/php/*/mysqli.so=php-mysql' \
    mariadbd=mariadb-server mariadb-install-db=mariadb-server mariadb=mariadb-client $debian/wp-load.php=wordpress \
    "$debian/wp-content/themes/twenty*=wordpress-theme-twentytwentyone"
make_directory wordpress "$name"
password=$(random_word)
start_proxyd
start_database
unpack_wordpress
serve apache.log "$name" apache2 -f "$dir/apache2.conf" -DFOREGROUND
apache=${groups[-1]}
wait_for "the site sockets" site_sockets "$name" 2
echo "proxyd listens on 127.0.0.1, ports $tls_port and $http_port; Apache, PHP and MariaDB run behind it."
install_wordpress
version=$(sed -n "s/^\$wp_version = '\(.*\)';/\1/p" $debian/wp-includes/version.php)
echo "WordPress $version was installed by its wizard, over TLS through proxyd."
echo
client 127.0.0.22 / --output "$dir/page"
echo "  The front page's title: $(sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' "$dir/page")"
echo "  Its first article:      $(sed -n 's/.*class="entry-title[^>]*><a [^>]*>\([^<]*\)<.*/\1/p' "$dir/page" | head -n 1)"
echo "  http://$name/ leads to $(redirection 127.0.0.22)"
echo
head_row WordPress
row "a comment" 127.0.0.33 "$(comment 127.0.0.33)"
row "another comment" 127.0.0.44 "$(comment 127.0.0.44)"
echo
hold /
show_open Apache "$apache"
release
echo
echo "Apache's own access log:"
sed 's/^/  /' "$dir/access.log"
