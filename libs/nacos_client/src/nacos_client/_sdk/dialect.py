"""A server's version and its dialect of the HTTP API: found by asking, remembered for each server.

Servers from 3.0 on have the paths `/v3/...`; 3.2 has no others. Those before have `/v1/...`.
"""

import asyncio
import enum
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from failover import in_brackets

from nacos_client._sdk import http
from nacos_client.errors import Refused
from nacos_client.ports import ServerFacts
from nacos_client.settings import NacosSettings

Server = tuple[str, int]
"""Host (without brackets) and HTTP port."""


class Dialect(enum.StrEnum):
    """The two forms of the HTTP API, each by the prefix of its paths."""

    V3 = "v3"
    V1 = "v1"


COMPARES_SINCE = (2, 3, 2)
"""The first version that was seen to refuse a write over another version of a document; 2.0.4 and
2.2.3 with their own storage take every such write."""
KEEPS_KEYS_SINCE = (2, 1, 0)
"""The first version that keeps the key of an encrypted document beside it."""
KEEPS_KEYS_OVER_HTTP_SINCE = (2, 3, 0)
"""The first that takes this key over HTTP, and tells it (ConfigController, ConfigServletInner)."""
STATE_PATHS = {Dialect.V3: "/v3/admin/core/state", Dialect.V1: "/v1/console/server/state"}
"""The path at which a server tells its version, without a login."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of a server about itself, and the monotonic time of the question in seconds."""

    facts: ServerFacts
    at: float


class Dialects:
    """The servers of a client, as they said what they are; for one event loop."""

    def __init__(self, settings: NacosSettings) -> None:
        self._settings = settings
        self._answered: dict[Server, Answered] = {}
        self._locks: defaultdict[Server, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, server: Server, *, since: float = 0.0) -> ServerFacts:
        """Return what a server is.

        Args:
            server: the server.
            since: monotonic time in seconds. An older answer does not count: another server may
                have taken its place.

        Raises:
            Unreachable: the server does not answer over HTTP.
            Refused: it answers, and tells no version in either dialect.
        """
        if known := self._known(server, since):  # without waiting for who asks anew
            return known.facts
        async with self._locks[server]:
            known = self._known(server, since)
            if known is None:
                known = self._answered[server] = await self._ask(server)
            return known.facts

    def _known(self, server: Server, since: float) -> Answered | None:
        known = self._answered.get(server)
        return known if known is not None and known.at >= since else None

    def forget(self, server: Server) -> None:
        """Ask anew when the server is needed next: what it answers fits no longer."""
        self._answered.pop(server, None)

    async def _ask(self, server: Server) -> Answered:
        began, status = time.monotonic(), 0
        name = f"{in_brackets(server[0])}:{server[1]}"
        for dialect, path in STATE_PATHS.items():
            answer = await http.send(self._settings, server, "GET", path, form={})
            status = answer.status
            if status == http.OK:
                version = _version(answer.json())
                return Answered(ServerFacts(name, version, dialect), began)
            if status in http.DENIED:  # the path is there, for others than us
                return Answered(ServerFacts(name, "", dialect), began)
            if status not in http.MISSING:
                break
        raise Refused(f"{name} tells no version: HTTP {status}", status)


def _version(state: Mapping[str, Any]) -> str:
    found = state.get("data", state)
    return str(found.get("version") or "") if isinstance(found, Mapping) else ""


def is_before(facts: ServerFacts, version: tuple[int, ...]) -> bool:
    """Return whether a server is known to be older than a version."""
    numbers = re.match(r"\d+(\.\d+)*", facts.version)
    return numbers is not None and tuple(map(int, numbers[0].split("."))) < version


def refuse_old(
    facts: ServerFacts, *, compare: bool, keep_key: bool, over_http: bool = False
) -> None:
    """Refuse a write to a server that is too old for it.

    Args:
        facts: the server.
        compare: the write is only to go over a certain version of the document.
        keep_key: the document's key is to be kept beside it.
        over_http: the write goes over HTTP.

    Raises:
        Refused: it would overwrite the change of another, or nobody could decrypt what it keeps.
    """
    needs = (
        (
            compare,
            COMPARES_SINCE,
            "may overwrite a document that changed meanwhile: publish without cas_md5",
        ),
        (
            keep_key,
            KEEPS_KEYS_OVER_HTTP_SINCE if over_http else KEEPS_KEYS_SINCE,
            "loses the key of an encrypted document: publish under another data id",
        ),
    )
    for needed, since, consequence in needs:
        if needed and is_before(facts, since):
            least = ".".join(map(str, since))
            raise Refused(f"Nacos {facts.version} {consequence}, or use Nacos {least} or later")
