"""HTTP/1.1 as bytes and values: heads, framing, bodies, problem documents. Pure."""
