"""Seconds until the stack answers: from nothing, warm, in containers, and the gateway alone."""
