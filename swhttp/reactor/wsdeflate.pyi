class Deflation:
    server_bits: int
    client_bits: int
    server_fresh: bool
    client_fresh: bool
    def __init__(self, server_max_window_bits: int = ..., client_max_window_bits: int = ...,
                 server_no_context_takeover: bool = ..., client_no_context_takeover: bool = ...) -> None: ...
