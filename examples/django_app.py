"""Django in one file: `swhttp django_app:app --app-dir examples`.

Shows a counter per visitor in a signed session cookie, which every worker can read: no database is needed.

    curl -b visits.txt -c visits.txt http://127.0.0.1:8000/
    curl http://127.0.0.1:8000/hello/Ada/
    curl --json '[1, 2, 3]' http://127.0.0.1:8000/sum/
"""

from __future__ import annotations

import json
import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

# All workers must have the same key, and nobody else: give a secret one in SECRET_KEY for more than trying it out.
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "known to everybody"),
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"],
)


def index(request: HttpRequest) -> HttpResponse:
    """How often this visitor has been here."""
    visits = request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(f"This is your visit number {visits}.\n", content_type="text/plain")


def hello(request: HttpRequest, name: str) -> HttpResponse:
    """A part of the path as an argument."""
    return HttpResponse(f"Hello, {name}!\n", content_type="text/plain")


@csrf_exempt
@require_POST
def add(request: HttpRequest) -> JsonResponse:
    """JSON in, JSON out."""
    return JsonResponse({"sum": sum(json.loads(request.body))})


urlpatterns = [path("", index), path("hello/<str:name>/", hello), path("sum/", add)]
app = get_wsgi_application()
