"""Which view answers which path."""

from __future__ import annotations

from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path

from django_site import account, data
from django_site.guestbook import views as guestbook


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "error.html", {"status": 404, "message": "nothing is here"}, status=404)


def broken(request: HttpRequest) -> HttpResponse:
    return render(request, "error.html", {"status": 500, "message": "that went wrong"}, status=500)


handler404 = not_found
handler500 = broken
urlpatterns = [
    path("", include(account.urlpatterns)),
    path("", include(data.urlpatterns)),
    path("entries", guestbook.entries),
    # The site has nobody else who serves its files, DEBUG or not.
    path("static/<path:path>", serve, {"insecure": True}),
]
