# SPDX-License-Identifier: MIT
"""MariaDB's files: an empty database, and the options of a server on it."""

import shutil
import subprocess


def copy_of_empty_database(workspace, target, user):
    """`user`: what its command line begins with, to be nobody if we are root. The original is made once."""
    template = workspace.path / "empty-database"
    if not template.exists():
        template.mkdir()
        if user:
            shutil.chown(template, "nobody")
        subprocess.run([*user, "mariadb-install-db", "--no-defaults", f"--datadir={template}", "--skip-test-db",
                        "--auth-root-authentication-method=normal"], check=True, capture_output=True)
    subprocess.run(["cp", "-a", template, target], check=True)


def server_command(user, own, certificate, address, port, **options):
    """With TLS; whoever says that he is somebody may do everything."""
    init = own / "init.sql"
    init.write_text("create user if not exists somebody@'%';\ngrant all on *.* to somebody@'%';\n")
    options = {"datadir": own / "data", "port": port, "bind-address": address, "ssl-cert": certificate[0],
               "ssl-key": certificate[1], "socket": own / "local.sock", "pid-file": own / "pid", "init-file": init,
               "innodb-flush-method": "nosync", **options}
    return [*user, "/usr/sbin/mariadbd", "--no-defaults", "--skip-name-resolve",
            *(f"--{key}={value}" for key, value in options.items())]
