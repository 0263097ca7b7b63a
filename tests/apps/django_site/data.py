"""Routes, bodies in and out, streams, files. What is posted here is an API's: no token is asked for."""

from __future__ import annotations

import asyncio
import json as json_module
import os
import time
from collections.abc import AsyncIterator, Iterator

from django.core.handlers.asgi import ASGIRequest
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponsePermanentRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path, reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

import site_parts


@require_safe
def item(request: HttpRequest, number: int) -> HttpResponse:
    return JsonResponse({"item": number, "query": dict(request.GET.lists()), "pid": os.getpid()})


def page(request: HttpRequest, page: str) -> HttpResponse:
    return JsonResponse({"page": page})


def links(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"item": request.build_absolute_uri(reverse("item", args=[7]))})


def old(request: HttpRequest) -> HttpResponse:
    return HttpResponsePermanentRedirect(reverse("item", args=[1]))


@csrf_exempt
@require_POST
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"form": dict(request.POST.lists())})


@csrf_exempt
@require_POST
def json(request: HttpRequest) -> HttpResponse:
    try:
        return JsonResponse({"json": json_module.loads(request.body), "pid": os.getpid()})
    except ValueError:
        return HttpResponse("that is no JSON", status=400)


@csrf_exempt
@require_POST
def files(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    digest = site_parts.Digest()
    for piece in file.chunks(site_parts.PIECE_BYTES):
        digest.update(piece)
    return JsonResponse({"title": request.POST["title"], "name": file.name, **digest.report()})


@csrf_exempt
@require_http_methods(["PUT"])
def upload(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse({"name": name, **site_parts.Digest().read(request).report()})


@gzip_page
@require_GET
def lines(request: HttpRequest) -> StreamingHttpResponse:
    produced = (f"line {number}\n" for number in range(site_parts.LINES))
    return StreamingHttpResponse(produced, content_type="text/plain")


@require_GET
def events(request: HttpRequest, name: str) -> StreamingHttpResponse:
    def ticks() -> Iterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                time.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    async def async_ticks() -> AsyncIterator[str]:
        number = 0
        try:
            while True:
                yield site_parts.event(number)
                number += 1
                await asyncio.sleep(site_parts.pause_s(number))
        finally:
            site_parts.note(f"gone {name}")

    # Under ASGI Django would collect all of a plain generator before it sends anything.
    produced = async_ticks() if isinstance(request, ASGIRequest) else ticks()
    fields = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(produced, content_type="text/event-stream", headers=fields)


class LaterResponse(JsonResponse):
    """An answer that is followed by work."""

    def __init__(self, name: str, gate: str) -> None:
        super().__init__({"later": name}, status=202)
        self._work = (name, gate)

    def close(self) -> None:
        """Called by the server (WSGI) or the handler (ASGI) when everything is sent."""
        super().close()
        site_parts.work(*self._work)


@csrf_exempt
@require_POST
def later(request: HttpRequest, name: str) -> HttpResponse:
    return LaterResponse(name, request.GET["gate"])


# By page, not by GZipMiddleware for all: that keeps events back until there are some KiB of them.
@gzip_page
def text(request: HttpRequest) -> HttpResponse:
    return HttpResponse(site_parts.LONG_TEXT, content_type="text/plain")


def download(request: HttpRequest) -> FileResponse:
    return FileResponse(site_parts.BOOK.open("rb"), as_attachment=True, filename="book.py")


def started(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"started": None})  # Django has no startup hook that a server could call


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view is broken")


urlpatterns = [
    path("items/<int:number>", item, name="item"),
    path("pages/<path:page>", page),
    path("links", links),
    path("old", old),
    path("form", form),
    path("json", json),
    path("files", files),
    path("uploads/<str:name>", upload),
    path("lines", lines),
    path("events/<str:name>", events),
    path("later/<str:name>", later),
    path("text", text),
    path("download", download),
    path("started", started),
    path("broken", broken),
]
