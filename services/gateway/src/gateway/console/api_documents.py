"""The OpenAPI documents of services: asked for when somebody looks, bounded, kept for minutes.

One instance of a service is asked for `/openapi.json`, and then for Spring's `/v3/api-docs`. What
it answers is a stranger's text: of a good document everything is taken out that would lead
elsewhere, servers and references to other addresses, and of any other only the trouble is told.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx
import orjson
from nacos_client import InstanceTls

from gateway.console.fetching import (
    ANSWER_SECONDS,
    Lack,
    NothingReadError,
    Place,
    client_of,
    fetched,
    given_up,
)

PATHS = ("/openapi.json", "/v3/api-docs")
"""Where a document is looked for, in this order."""
MAX_BYTES = 2 * 1024 * 1024
"""Bytes of the longest document, as it is answered and as it is shown."""
PIECE_BYTES = 64 * 1024
"""Bytes that a reader is sent at a time."""
MAX_TOLD = 200
"""Characters of a reference that are shown in its place."""
MAX_PARTS = 200_000
"""Commas and opening brackets of the document with the most: each may become an object in memory,
of which 2 MiB of text could make fifty times as many bytes."""
MAX_KEPT_BYTES = 64 * 1024 * 1024
"""Bytes of all documents that are kept; beyond them the oldest are asked for again."""
AT_ONCE = 8
"""Services that are asked at a time."""
FRESH_SECONDS = 300.0
"""Seconds for which a document is kept while the service's version stays the same."""
TROUBLE_SECONDS = 30.0
"""Seconds for which a service without a good document is not asked again."""
METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
LOGINS = ("apiKey", "http", "mutualTLS")
"""Types of security schemes that name no address, where Swagger UI would send the reader."""
KEY = "gateway-key"
KEY_SCHEME = {
    "type": "apiKey", "in": "header", "name": "X-Api-Key",
    "description": "A key or token of the gateway's route.",
}  # fmt: skip
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class Trouble(StrEnum):
    """The reason why a service has no document to show."""

    UNASKED = "unasked"
    NO_INSTANCE = "no_instance"
    NONE = "none"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SLOW = "slow"
    TOO_LARGE = "too_large"
    NO_JSON = "no_json"
    NO_OPENAPI = "no_openapi"


TROUBLE_OF = {
    Lack.ABSENT: Trouble.NONE,
    Lack.REFUSED: Trouble.REFUSED,
    Lack.ENCODED: Trouble.NO_JSON,
    Lack.TOO_LARGE: Trouble.TOO_LARGE,
}


class UnshownError(Exception):
    """An answer holds no document that could be shown."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.value)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Api:
    """A document that can be shown.

    Attributes:
        title: of the API.
        version: of the API.
        operations: how many it has.
        base: the path in front of all its paths, as its own server says; "" for none.
        body: the document as JSON without servers: an object with at least one member.
    """

    title: str
    version: str
    operations: int
    base: str
    body: bytes

    def with_servers(self, servers: Collection[str]) -> tuple[bytes, memoryview]:
        """Return the document with these servers: its beginning, and the rest, which all share."""
        told = [{"url": f"{one}{self.base}" or "/"} for one in servers]
        return b'{"servers":' + orjson.dumps(told) + b",", memoryview(self.body)[1:]


async def in_pieces(*parts: bytes | bytearray | memoryview) -> AsyncIterator[memoryview]:
    """Yield a few bytes at a time and no copies, so that a reader who sleeps holds little."""
    for part in parts:
        whole = memoryview(part)
        for start in range(0, len(whole), PIECE_BYTES):
            yield whole[start : start + PIECE_BYTES]


def _trouble(bad: UnshownError | NothingReadError) -> Trouble:
    return bad.trouble if isinstance(bad, UnshownError) else TROUBLE_OF[bad.lack]


def read_api(data: bytes, *, keyed: bool = False) -> Api:
    """Read an OpenAPI document of version 3, and take out what would lead elsewhere.

    Args:
        data: the document as it was answered.
        keyed: a place is put in for the key of a route.

    Raises:
        UnshownError: it is not one.
    """
    if sum(data.count(sign) for sign in (b",", b"[", b"{")) > MAX_PARTS:
        raise UnshownError(Trouble.TOO_LARGE)
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UnshownError(Trouble.NO_JSON) from error
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3."):
        raise UnshownError(Trouble.NO_OPENAPI)
    info, paths = document.get("info"), document.get("paths", {})
    if not isinstance(info, dict) or not isinstance(paths, dict):
        raise UnshownError(Trouble.NO_OPENAPI)
    base = _base(document.pop("servers", None))
    operations = _take_servers(paths)
    _cut_references(document)
    _keep_logins(document)
    if keyed:
        _add_key(document)
    title, version = str(info.get("title", "")), str(info.get("version", ""))
    try:
        body = orjson.dumps(document)
    except orjson.JSONEncodeError as error:  # it is nested deeper than orjson writes
        raise UnshownError(Trouble.NO_OPENAPI) from error
    if len(body) > MAX_BYTES:  # what was put in has made it longer
        raise UnshownError(Trouble.TOO_LARGE)
    return Api(title[:200], version[:100], operations, base, body)


def _take_servers(paths: dict[str, Any]) -> int:
    """Take the servers out of paths and operations, and return how many operations there are."""
    operations = 0
    for item in paths.values():
        if isinstance(item, dict):
            item.pop("servers", None)
            own = [one for name, one in item.items() if name in METHODS and isinstance(one, dict)]
            operations += len(own)
            for operation in own:
                operation.pop("servers", None)
    return operations


def _base(servers: Any) -> str:
    """Return the path of the first server, which stands in front of the document's paths."""
    first = servers[0] if isinstance(servers, list) and servers else {}
    url = first.get("url", "") if isinstance(first, dict) else ""
    try:
        path = httpx.URL(url).path if isinstance(url, str) else ""
    except httpx.InvalidURL:
        return ""
    is_plain = path.startswith("/") and path.isascii() and not set(path) & set("{}%\\?#")
    return path.rstrip("/") if is_plain and ".." not in path and "//" not in path else ""


def _keep_logins(document: dict[str, Any]) -> None:
    """Take out the ways to log in that lead elsewhere, and what would put them in again."""
    components = _mapping(document.get("components"))
    for part in (document, components):
        for merging in ("$ref", "allOf"):
            part.pop(merging, None)
    schemes = {
        name: {member: text for member, text in scheme.items() if isinstance(text, str)}
        for name, scheme in _mapping(components.get("securitySchemes")).items()
        if _mapping(scheme).get("type") in LOGINS and "$ref" not in scheme
    }
    document["components"] = {**components, "securitySchemes": schemes}
    for one in _secured(document):
        if "security" in one:
            one["security"] = [
                {name: scopes for name, scopes in way.items() if name in schemes}
                for way in _ways(one)
            ]


def _add_key(document: dict[str, Any]) -> None:
    """Let a reader say the key of a route, beside whatever the service itself wants."""
    document["components"]["securitySchemes"][KEY] = KEY_SCHEME
    for one in _secured(document):
        if one is document or "security" in one:
            one["security"] = [{**way, KEY: []} for way in _ways(one)] or [{KEY: []}]


def _secured(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what may say how to log in: the document, and its operations."""
    return [document] + [
        operation
        for item in document.get("paths", {}).values()
        for name, operation in _mapping(item).items()
        if name in METHODS and isinstance(operation, dict)
    ]


def _ways(part: dict[str, Any]) -> list[dict[str, Any]]:
    wanted = part.get("security")
    return [_mapping(way) for way in wanted] if isinstance(wanted, list) else []


def _mapping(part: Any) -> dict[str, Any]:
    return part if isinstance(part, dict) else {}


def _cut_references(document: Any) -> None:
    """Put a description in the place of each reference to another document."""
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if _leads_out(part.get("$id")):  # all references would be read from there
                del part["$id"]
            told = next((part[one] for one in _REFERENCES if _leads_out(part.get(one))), None)
            if told is not None:
                part.clear()
                cut = f"A reference to another document, not followed: {told[:MAX_TOLD]}"
                part["description"] = cut
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _leads_out(address: Any) -> bool:
    return isinstance(address, str) and not address.startswith("#")


def oldest_beyond(sizes: Mapping[str, int], most: int) -> list[str]:
    """Return the first names of those without which the sizes of the others are at most `most`."""
    total, found = sum(sizes.values()), []
    for name, size in sizes.items():
        if total <= most:
            break
        found.append(name)
        total -= size
    return found


@dataclass(frozen=True, slots=True)
class Kept:
    """What a service has answered, for which version of it and of its place, and when."""

    at: float
    version: tuple[str, bool]
    found: Api | Trouble


class ApiDocuments:
    """The documents of services, as far as readers want them.

    A `Listener` of the process runner, which ends what is asked for.
    """

    def __init__(
        self, tls: InstanceTls | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask for nothing yet.

        Args:
            tls: the trust in instances that listen for TLS.
            clock: monotonic seconds.
        """
        self._tls = tls or InstanceTls()
        self._clock = clock
        self._kept: dict[str, Kept] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._reading = asyncio.Lock()

    async def look(
        self, places: Mapping[str, Place | None], wanted: Collection[str], seconds: float
    ) -> dict[str, Api | Trouble]:
        """Return what is known of each service; those that are wanted are asked if need be.

        Args:
            places: every service, with None if no instance of it is in traffic.
            wanted: names of services that somebody looks at.
            seconds: to wait for answers; those that come later are there at the next look.
        """
        self._kept = {name: kept for name, kept in self._kept.items() if name in places}
        for name in wanted:
            place = places.get(name)
            if place is not None and name not in self._asking and not self._is_fresh(name, place):
                self._asking[name] = asyncio.create_task(self._ask(name, place))
        waiting = [self._asking[name] for name in wanted if name in self._asking]
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)
        return {name: self._found(name, place) for name, place in places.items()}

    async def open(self) -> None:
        """Ask for nothing: that is done when somebody looks."""

    def leave(self) -> None:
        """Serve readers as before."""

    async def drain(self) -> None:
        """Let readers have their answers."""

    async def close(self) -> None:
        """Ask no more."""
        await given_up(list(self._asking.values()))

    def _is_fresh(self, name: str, place: Place) -> bool:
        kept = self._kept.get(name)
        if kept is None or kept.version != (place.version, place.keyed):
            return False
        seconds = FRESH_SECONDS if isinstance(kept.found, Api) else TROUBLE_SECONDS
        return self._clock() < kept.at + seconds

    def _found(self, name: str, place: Place | None) -> Api | Trouble:
        if name in self._kept:
            return self._kept[name].found
        return Trouble.UNASKED if place is not None else Trouble.NO_INSTANCE

    async def _ask(self, name: str, place: Place) -> None:
        try:
            async with self._turn:
                found = await self._answer(place)
            self._kept.pop(name, None)
            self._kept[name] = Kept(self._clock(), (place.version, place.keyed), found)
            self._make_room()
        finally:
            del self._asking[name]

    def _make_room(self) -> None:
        """Forget the oldest documents while there are too many bytes of them."""
        sizes = {
            name: len(kept.found.body)
            for name, kept in self._kept.items()
            if isinstance(kept.found, Api)
        }
        for name in oldest_beyond(sizes, MAX_KEPT_BYTES):
            del self._kept[name]

    async def _answer(self, place: Place) -> Api | Trouble:
        """Ask at each path; return the first good document, or the first trouble worth telling."""
        trouble = Trouble.NONE
        try:
            async with client_of(self._tls, secure=place.secure) as http:
                for path in PATHS:
                    try:
                        async with asyncio.timeout(ANSWER_SECONDS):
                            data = await fetched(
                                http, self._tls, place, path,
                                accept="application/json", most=MAX_BYTES,
                            )  # fmt: skip
                        async with self._reading:  # one at a time: each takes memory
                            return await asyncio.to_thread(read_api, data, keyed=place.keyed)
                    except (UnshownError, NothingReadError) as bad:
                        trouble = _trouble(bad) if trouble is Trouble.NONE else trouble
        except (TimeoutError, httpx.TimeoutException):
            return Trouble.SLOW
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            return Trouble.UNREACHABLE
        return trouble
