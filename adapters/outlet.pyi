class Outlet:
    max_payload_bytes: int
    high_water_bytes: int
