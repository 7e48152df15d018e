"""The gateway beside its peers: cost of a request, latency, memory."""
