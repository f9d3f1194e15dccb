# SPDX-License-Identifier: MIT
"""A Django project in one file: what would be settings.py, urls.py, views.py and wsgi.py. Nothing in here knows
of proxyd, and no header is trusted: the client's address and TLS are those of the connection itself."""

import os
import secrets

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    SECRET_KEY=secrets.token_hex(32),
    ALLOWED_HOSTS=["django.example.test"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    SECURE_SSL_REDIRECT=True,  # takes the connection's word for it, not X-Forwarded-Proto's
)


def home(request):
    client = f"{request.META['REMOTE_ADDR']}:{request.META['REMOTE_PORT']}"
    return HttpResponse(f"Django {django.__version__}, worker {os.getpid()}, {request.scheme}: client {client}\n",
                        content_type="text/plain")


urlpatterns = [path("", home)]
application = get_wsgi_application()
