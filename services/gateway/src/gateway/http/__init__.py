"""HTTP/1.1 as bytes and values. Pure, but for `response`, which writes to a transport."""
