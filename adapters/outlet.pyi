class Outlet:
    max_payload_bytes: int
    max_frame_bytes: int
    max_block_bytes: int
    high_water_bytes: int
