"""Patterns of the header fields that follow a request from service to service."""

import re

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
"""A usable `X-Request-Id`: safe in logs, header fields and file names."""
TRACEPARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
"""A valid `traceparent` (W3C Trace Context, 3.2.2); the group is the trace id.

Neither the trace id nor the parent id may be all zeros, and `ff` is not a version."""
