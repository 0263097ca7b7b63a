"""WebSockets as clients of others see them: websockets, wsproto over a plain socket, aiohttp."""
