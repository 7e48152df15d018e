"""Records of requests, the access log, and metrics."""
