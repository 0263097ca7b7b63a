"""One consumer in both ways to write it. Who is in the same room gets what is said there, whichever way it came."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer


class Chat(WebsocketConsumer):
    """Synchronous: each call in a thread."""

    def connect(self) -> None:
        self.group = "chat_" + self.scope["url_route"]["kwargs"]["room"]
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()

    def disconnect(self, code: int) -> None:
        async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)
        event = {"type": "chat.message", "message": f"somebody has left with {code}"}
        async_to_sync(self.channel_layer.group_send)(self.group, event)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = json.loads(text_data or "")["message"]
        user = "somebody" if self.scope["user"].is_anonymous else str(self.scope["user"])
        event = {"type": "chat.message", "message": f"{user}: {message}"}
        async_to_sync(self.channel_layer.group_send)(self.group, event)

    def chat_message(self, event: dict[str, Any]) -> None:
        self.send(text_data=json.dumps({"message": event["message"]}))


class AsyncChat(AsyncWebsocketConsumer):
    """The same, asynchronous."""

    async def connect(self) -> None:
        self.group = "chat_" + self.scope["url_route"]["kwargs"]["room"]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.group, self.channel_name)
        event = {"type": "chat.message", "message": f"somebody has left with {code}"}
        await self.channel_layer.group_send(self.group, event)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message = json.loads(text_data or "")["message"]
        user = "somebody" if self.scope["user"].is_anonymous else str(self.scope["user"])
        await self.channel_layer.group_send(self.group, {"type": "chat.message", "message": f"{user}: {message}"})

    async def chat_message(self, event: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps({"message": event["message"]}))
