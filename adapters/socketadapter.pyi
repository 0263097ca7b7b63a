from swhttp.adapters.asgi import AsgiAdapter

class SocketAdapter(AsgiAdapter):
    sockets: int
