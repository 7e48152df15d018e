"""How many clients the open-file limit allows: without a descriptor left, gRPC ends the process."""

import contextlib
import resource

RESERVE = 256
"""Descriptors for what is no connection of the data path: Nacos, logs, workers, the admin port."""


def needed(connections: int) -> int:
    """Descriptors for so many clients: each may have a connection to an instance."""
    return 2 * connections + RESERVE


def fitting(connections: int, limit: int) -> int:
    """How many of these clients a limit has room for; one at least."""
    return max(1, min(connections, (limit - RESERVE) // 2))


def raise_limit(count: int) -> int:
    """Have this process and its children open so many files, as far as it may; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        # The kernel's own maximum may be below an infinite hard limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return count if soft == resource.RLIM_INFINITY else soft
