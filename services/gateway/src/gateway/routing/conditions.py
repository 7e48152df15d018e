"""Conditions on a request beside its path: host, header fields, query and cookies. Pure.

A condition on a value is the value itself, or a regular expression that matches the whole value.
Where a request has several values of a name, one of them has to meet the condition.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from gateway.http.heads import Head, split_lines
from gateway.routing.pattern import TextPattern

Wanted = Mapping[bytes, bytes | TextPattern]
"""The value of each name, or the pattern that one has to match as a whole."""


class Conditions:
    """The conditions that a request has to meet, all of them."""

    __slots__ = ("_cookies", "_domains", "_fields", "_hosts", "_query", "strictness")

    def __init__(
        self, *, hosts: Sequence[str] = (), fields: Wanted, query: Wanted, cookies: Wanted
    ) -> None:
        """Take the conditions.

        Args:
            hosts: names in lower case without a port; `*.` in front stands for one label or more.
            fields: header fields by lower-case name.
            query: parameters by name.
            cookies: by name.
        """
        self._hosts = frozenset(host.encode() for host in hosts if not host.startswith("*."))
        self._domains = tuple(host[1:].encode() for host in hosts if host.startswith("*."))
        self._fields = fields
        self._query = query
        self._cookies = cookies
        self.strictness = bool(hosts) + len(fields) + len(query) + len(cookies)
        """How many conditions there are: of two routes with one path, the stricter is asked first.
        """

    def met(self, head: Head, *, preflight: bool = False) -> bool:
        """Return whether a request meets the conditions.

        Args:
            head: of the request.
            preflight: the request is a browser's question about another request, and has neither
                that request's header fields nor its cookies: these conditions count as met.
        """
        if (self._hosts or self._domains) and not self._at_host(head):
            return False
        if self._query and not _met(self._query, query_of(head.target)):
            return False
        if preflight:
            return True
        if self._fields and not _met(self._fields, fields_of(head)):
            return False
        return not self._cookies or _met(self._cookies, cookies_of(head))

    def _at_host(self, head: Head) -> bool:
        name = host_of(head)
        return name in self._hosts or (name.endswith(self._domains) and name[:1] != b".")


# Many routes ask about one request: it is read once, by the first that asks.


@lru_cache(1)
def host_of(head: Head) -> bytes:
    """Return the name that a client called, in lower case, without a port and a last dot."""
    host = head.handled.get(b"host", b"").lower()
    name = host if host.endswith(b"]") else host.rpartition(b":")[0] or host
    return name.removesuffix(b".")


@lru_cache(1)
def query_of(target: bytes) -> Mapping[bytes, Sequence[bytes]]:
    """Return the decoded values of each query parameter of a target."""
    values: dict[bytes, list[bytes]] = {}
    for parameter in target.partition(b"?")[2].split(b"&"):
        name, _, value = parameter.replace(b"+", b" ").partition(b"=")
        values.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return values


@lru_cache(1)
def fields_of(head: Head) -> Mapping[bytes, Sequence[bytes]]:
    """Return the values of each header field by its lower-case name."""
    values = {name: [value] for name, value in head.handled.items()}
    for line in split_lines(head.lines):
        name, _, value = line.partition(b":")
        values.setdefault(name.lower(), []).append(value.strip())
    return values


@lru_cache(1)
def cookies_of(head: Head) -> Mapping[bytes, Sequence[bytes]]:
    """Return the values of each cookie."""
    values: dict[bytes, list[bytes]] = {}
    for line in head.values(b"cookie"):
        for pair in line.split(b";"):
            name, _, value = pair.partition(b"=")
            values.setdefault(name.strip(), []).append(value.strip())
    return values


def _met(wanted: Wanted, values: Mapping[bytes, Sequence[bytes]]) -> bool:
    return all(
        any(_is(value, one) for value in values.get(name, ())) for name, one in wanted.items()
    )


def _is(value: bytes, wanted: bytes | TextPattern) -> bool:
    return value == wanted if isinstance(wanted, bytes) else wanted.matches(value)
