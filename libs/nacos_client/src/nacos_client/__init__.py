"""Nacos for an asyncio service: announce, watch configuration, discover, call by name.

    async with Nacos(NacosSettings(server_addr="nacos:8848")) as nacos:
        await nacos.announcement("car-evaluation", port=8001).announce()

The vendor's protocol is loaded when it is first used; see `nacos_client.testing` for tests.
"""

from typing import TYPE_CHECKING, Any

from nacos_client.access_check import check_access
from nacos_client.announce import Announcement, AnnouncementState, Shown
from nacos_client.client import Nacos
from nacos_client.discover import Discovery
from nacos_client.errors import (
    BadAddress,
    BadDocument,
    BadTls,
    Conflict,
    Denied,
    NacosError,
    Refused,
    Unreachable,
)
from nacos_client.instance_tls import InstanceTls
from nacos_client.ports import Document, Revision
from nacos_client.settings import NacosSettings
from nacos_client.snapshot import Known, Snapshot, Unknown
from nacos_client.watch import Rejection, Watched, WatchState

if TYPE_CHECKING:
    from nacos_client.transport import AsyncNacosTransport, NacosTransport

__all__ = [
    "Announcement",
    "AnnouncementState",
    "AsyncNacosTransport",
    "BadAddress",
    "BadDocument",
    "BadTls",
    "Conflict",
    "Denied",
    "Discovery",
    "Document",
    "InstanceTls",
    "Known",
    "Nacos",
    "NacosError",
    "NacosSettings",
    "NacosTransport",
    "Refused",
    "Rejection",
    "Revision",
    "Shown",
    "Snapshot",
    "Unknown",
    "Unreachable",
    "WatchState",
    "Watched",
    "check_access",
]


def __getattr__(name: str) -> Any:
    """Import the transports, and httpx with them, when they are asked for."""
    if name in {"AsyncNacosTransport", "NacosTransport"}:
        from nacos_client import transport  # noqa: PLC0415

        return getattr(transport, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
