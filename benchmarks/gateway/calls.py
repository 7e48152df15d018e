"""The service behind the gateways: its name, a call that may be repeated and one that may not."""

SERVICE = "bench-backend"
DECLARED, UNDECLARED = "/predict", "/order"
METADATA = {"protocol": "http", "gateway.idempotent": f"POST {DECLARED}, POST /upload"}
