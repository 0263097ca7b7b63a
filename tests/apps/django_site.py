"""The same small site as flask_site.py in Django, as WSGI (`wsgi`) and as ASGI (`asgi`), in one module."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Iterator

import django
from django.conf import settings

settings.configure(
    DEBUG=False,
    SECRET_KEY="not a secret: only tests talk to this site",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
)
django.setup()

from django.core.handlers.asgi import ASGIHandler  # noqa: E402 - needs the settings above
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import (  # noqa: E402
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path  # noqa: E402


def hello(request: HttpRequest, name: str) -> JsonResponse:
    return JsonResponse({"hello": name, "query": request.GET.dict(), "pid": os.getpid()})


def form(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"form": request.POST.dict(), "pid": os.getpid()})


def json(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"json": json_module.loads(request.body), "pid": os.getpid()})


def login(request: HttpRequest) -> HttpResponse:
    answer = HttpResponseRedirect("/hello/you")
    answer.set_cookie("session", "s3cret", httponly=True)
    answer.set_cookie("theme", "dark")
    return answer


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def lines() -> Iterator[str]:
        for number in range(100):
            yield f"line {number}\n"

    return StreamingHttpResponse(lines(), content_type="text/plain")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view is broken")


urlpatterns = [
    path("hello/<str:name>", hello),
    path("form", form),
    path("json", json),
    path("login", login),
    path("stream", stream),
    path("broken", broken),
]
wsgi = WSGIHandler()
asgi = ASGIHandler()
