"""The URLs in a service's answer: the service knows its own address, and its client another. Pure.

A service that stands behind a prefix redirects to paths that its client cannot see, or to its own
address. Where it has understood `X-Forwarded-Host` and `X-Forwarded-Prefix`, its URLs are right.
"""

import re
from dataclasses import dataclass
from typing import Final

LOCATIONS: Final[tuple[bytes, ...]] = (b"location", b"content-location")
"""Response fields with a URL of the service."""
SLASHES: Final = b"/\\\t"
"""Bytes that make a path with two of them in front another host, as browsers read it."""
_ABSOLUTE: Final = re.compile(rb"(?:https?:)?//([^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_PATH: Final = re.compile(rb"(/[^?#]*)(.*)", re.DOTALL)
_PORT: Final = re.compile(rb":(?:80|443)?$")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a service is, as the client sees it and as the service does.

    Attributes:
        origin: scheme and host that the client called, `https://shop.example`, b"" if it named no
            host.
        host: the host alone.
        prefix: leading part of the path that only the client sees.
        inner: leading part of the path that only the service sees.
        own: the authorities that the service may call itself by.
        path: of the request as the service got it: if that lies below `prefix` too, then so do
            paths of the service's own.
    """

    origin: bytes
    host: bytes
    prefix: bytes
    inner: bytes
    own: frozenset[bytes]
    path: bytes

    def as_called(self, url: bytes) -> bytes:
        """Return a URL of the service as its client has to call it; a foreign one is unchanged."""
        absolute = _ABSOLUTE.fullmatch(url)
        if absolute is not None:
            authority, path, rest = absolute.groups()
            named = _PORT.sub(b"", authority.lower())
            if not named or (named not in self.own and named != _PORT.sub(b"", self.host.lower())):
                return url
            return self.origin + self._path(path or b"/") + rest
        local = _PATH.fullmatch(url)
        return self._path(local[1]) + local[2] if local is not None else url

    def _path(self, path: bytes) -> bytes:
        if _below(path, self.prefix) and not _below(self.path, self.prefix):
            return path
        if not self.inner:
            return self.prefix + path
        if not _below(path, self.inner):
            return path
        rest = path[len(self.inner) :]
        return self.prefix + rest if self.prefix else b"/" + rest.lstrip(SLASHES)


def _below(path: bytes, prefix: bytes) -> bool:
    """Return whether a path is, or lies below, a prefix that is not empty."""
    return bool(prefix) and (path == prefix or path.startswith(prefix + b"/"))
