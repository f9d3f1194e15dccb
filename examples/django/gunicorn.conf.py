# SPDX-License-Identifier: MIT
# gunicorn with TLS and two workers; run.sh fills in @DIRECTORY@. Nothing in here knows of proxyd.
bind = "0.0.0.0:443"
workers = 2
worker_class = "gthread"
threads = 4
certfile = "@DIRECTORY@/certificate.pem"
keyfile = "@DIRECTORY@/key.pem"
pidfile = "@DIRECTORY@/gunicorn.pid"
worker_tmp_dir = "@DIRECTORY@"
accesslog = "@DIRECTORY@/access.log"
access_log_format = '%(h)s "%(r)s" %(s)s'
# From nobody: what X-Forwarded-... says is a client's own claim, since no proxy writes it.
forwarded_allow_ips = ""
