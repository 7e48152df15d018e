"""Conditions on a request beside its path: host, header fields, query and cookies. Pure.

A condition on a value is the value itself, or a regular expression that matches the whole value.
Where a request has several values of a name, one of them has to meet the condition.
"""

import re
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from gateway.http.heads import Head

Wanted = Mapping[bytes, re.Pattern[bytes]]
"""The pattern that a value of each name has to match as a whole."""


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
        if self._fields and not _met(self._fields, fields_of(head, self._fields)):
            return False
        return not self._cookies or _met(self._cookies, cookies_of(head))

    def _at_host(self, head: Head) -> bool:
        host = head.handled.get(b"host", b"").lower()
        name = host if host.endswith(b"]") else host.rpartition(b":")[0] or host
        return name in self._hosts or any(name.endswith(domain) for domain in self._domains)


def query_of(target: bytes) -> dict[bytes, list[bytes]]:
    """Return the decoded values of each query parameter of a target."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in parse_qsl(target.partition(b"?")[2], keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return values


def fields_of(head: Head, names: Wanted) -> dict[bytes, list[bytes]]:
    """Return the values of the header fields with these lower-case names."""
    values = {name: [head.handled[name]] for name in names if name in head.handled}
    for line in head.lines:
        given, _, value = line.partition(b":")
        name = given.lower()
        if name in names:
            values.setdefault(name, []).append(value.strip())
    return values


def cookies_of(head: Head) -> dict[bytes, list[bytes]]:
    """Return the values of each cookie."""
    values: dict[bytes, list[bytes]] = {}
    for line in head.values(b"cookie"):
        for pair in line.split(b";"):
            name, _, value = pair.partition(b"=")
            values.setdefault(name.strip(), []).append(value.strip())
    return values


def _met(wanted: Wanted, values: Mapping[bytes, Sequence[bytes]]) -> bool:
    return all(
        any(pattern.fullmatch(value) for value in values.get(name, ()))
        for name, pattern in wanted.items()
    )
