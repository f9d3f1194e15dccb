# SPDX-License-Identifier: MIT
"""A whole Django site in one file, for the servers of WSGI and ASGI: django_site:wsgi and django_site:asgi.

GET / answers with how the site sees its client: what the server tells about the connection.
"""

import os

import django.core.asgi
import django.core.wsgi
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of a test", MIDDLEWARE=[])


def seen(request):
    # Only some servers tell the client's port.
    return HttpResponse(f"client {request.META['REMOTE_ADDR']} {request.META.get('REMOTE_PORT', '')} by {os.getpid()}\n")


urlpatterns = [path("", seen)]
wsgi = django.core.wsgi.get_wsgi_application()
asgi = django.core.asgi.get_asgi_application()
