"""The readers who have shown the admin token, by the cookie that they got for it.

A cookie is random, says nothing of the token, and ends with the gateway or after some hours.
"""

import hmac
import secrets
from collections.abc import Callable

from gateway.http.heads import CONSOLE_COOKIE

COOKIE = CONSOLE_COOKIE.decode()
SECONDS = 12 * 3600
MAX_SESSIONS = 64
"""Sessions at a time; a further one ends the oldest."""


class Sessions:
    """The sessions of one gateway."""

    def __init__(self, token: str | None, clock: Callable[[], float]) -> None:
        """Take the admin token, None if there is none, and monotonic seconds."""
        self._token = token
        self._clock = clock
        self._ends: dict[str, float] = {}

    @property
    def has_token(self) -> bool:
        """Return whether the gateway has a token, without which nobody may act."""
        return self._token is not None

    def begin(self, token: str) -> str | None:
        """Return the cookie of a new session, None if this is not the admin token."""
        if self._token is None or not hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        while len(self._ends) >= MAX_SESSIONS:
            del self._ends[next(iter(self._ends))]
        cookie = secrets.token_urlsafe(32)
        self._ends[cookie] = self._clock() + SECONDS
        return cookie

    def end(self, cookie: str) -> None:
        """End a session, if there is such a one."""
        self._ends.pop(cookie, None)

    def may_act(self, cookie: str) -> bool:
        """Return whether the reader with this cookie has shown the token."""
        return self._ends.get(cookie, 0.0) > self._clock()

    def may_read(self, cookie: str) -> bool:
        """Return whether the reader with this cookie may see anything."""
        return self._token is None or self.may_act(cookie)
