"""The page of a room, without what the tutorial's has to look at."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import path


def room(request: HttpRequest, room: str) -> HttpResponse:
    return HttpResponse(f"the room {room}")


urlpatterns = [path("chat/<str:room>/", room)]
