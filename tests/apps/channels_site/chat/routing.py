"""Where the consumers are."""

from __future__ import annotations

from django.urls import re_path

from channels_site.chat.consumers import AsyncChat, Chat

websocket_urlpatterns = [
    re_path(r"^ws/sync/(?P<room>\w+)/$", Chat.as_asgi()),
    re_path(r"^ws/async/(?P<room>\w+)/$", AsyncChat.as_asgi()),
]
