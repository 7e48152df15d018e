"""The clients that the open-file limit allows: without a descriptor left, gRPC ends the process."""

import contextlib
import logging
import resource

RESERVE = 256
"""Descriptors beside the data path's connections: Nacos, logs, workers, the admin port."""

_log = logging.getLogger(__name__)


def clients_allowed(wanted: int) -> int:
    """Raise the open-file limit for so many clients of a worker; return how many it allows.

    A log line `open_files_limit_clients` says so if that is fewer than wanted.
    """
    limit = raise_limit(needed(wanted))
    allowed = fitting(wanted, limit)
    if allowed < wanted:
        _log.warning(
            "open_files_limit_clients",
            extra={
                "GATEWAY_MAX_CONNECTIONS": wanted, "clients_per_worker": allowed,
                "open_files": limit, "open_files_needed": needed(wanted),
            },
        )  # fmt: skip
    return allowed


def needed(connections: int) -> int:
    """Return the descriptors for so many clients: each may have a connection to an instance."""
    return 2 * connections + RESERVE


def fitting(connections: int, limit: int) -> int:
    """Return how many of these clients a limit of descriptors has room for; at least one."""
    return max(1, min(connections, (limit - RESERVE) // 2))


def raise_limit(count: int) -> int:
    """Raise the open-file limit of this process and its children to `count`, or as far as allowed.

    Returns:
        The limit now.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        most = count if hard == resource.RLIM_INFINITY else min(count, hard)
        # The kernel's own maximum may be below an infinite hard limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return count if soft == resource.RLIM_INFINITY else soft
