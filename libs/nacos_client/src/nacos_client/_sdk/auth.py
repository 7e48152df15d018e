"""The client's credentials: an access token for a password, or a signature for each request.

Credentials travel in bodies and headers, never in a URL, and are never logged.
"""

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from failover import in_brackets

from nacos_client._sdk import http
from nacos_client._sdk.access_key import AccessKey, KeyFile, sign
from nacos_client._sdk.dialect import Dialect, Dialects
from nacos_client._sdk.http import HttpAnswer
from nacos_client.errors import Denied, NacosError, Refused, Unreachable
from nacos_client.settings import NacosSettings

log = logging.getLogger(__name__)

LOGIN_PATHS = {Dialect.V3: "/v3/auth/user/login", Dialect.V1: "/v1/auth/users/login"}
CODELESS = 0
"""The status with which 2.3 denies a wrong password: its error has no code."""
RENEW_AT = 0.8
"""Share of a token's life after which a new token is fetched."""
RELOGIN_SECONDS = (0.5, 15.0)
"""Seconds from a refused login to the next: the first pause, and the longest."""
RELOGIN_GROWTH = 1.5
"""The growth of that pause. A server of 2.x refuses right passwords for some seconds after it has
started, and a growth of 2 would add as many again."""
ABSENT_SECONDS = 1.0
"""Seconds to the next login where no server answered: it may be starting, with every service."""


class Credentials:
    """The headers that authenticate requests; one login serves every connection of a client."""

    def __init__(self, settings: NacosSettings, dialects: Dialects) -> None:
        self._settings = settings
        self._dialects = dialects
        self._key_file = KeyFile(settings.credentials_file) if settings.credentials_file else None
        self._login_trouble: NacosError | None = None
        self._token = ""
        self._renew_at = 0.0
        self._next_try = 0.0
        self._pause = 0.0
        self._lock = asyncio.Lock()

    @property
    def trouble(self) -> NacosError | None:
        """The error that kept the last login from a token, or a key file from use, or None."""
        return self._login_trouble or (self._key_file.trouble if self._key_file else None)

    async def headers(
        self, *, naming: str | None = None, config: str | None = None
    ) -> dict[str, str]:
        """Make the headers of one request.

        Args:
            naming: `group@@service` of a naming request.
            config: `tenant+group` of a configuration request, `group` alone in the namespace
                `public`, or "" if the request has neither.

        Raises:
            Denied: the user or the password is wrong, or the key file has no good key.
            Unreachable: no server answered the login.
        """
        settings = self._settings
        headers: dict[str, str] = {}
        if settings.username is not None:
            headers["accessToken"] = await self._access_token()
        key = await self._access_key()
        if key is not None:
            millis, region = int(time.time() * 1000), settings.signature_region
            headers |= sign(key, region=region, naming=naming, config=config, millis=millis)
        return headers

    def refused(self, headers: Mapping[str, str]) -> None:
        """Stop using the token of headers that the server refused, and doubt the access key."""
        if headers.get("accessToken") == self._token:
            self._token = ""
        if self._key_file is not None:
            self._key_file.doubt()

    async def _access_key(self) -> AccessKey | None:
        settings = self._settings
        if self._key_file is not None:
            return await self._key_file.key(datetime.now(UTC))
        if settings.access_key is None or settings.secret_key is None:
            return None
        return AccessKey(
            id=settings.access_key, secret=settings.secret_key, token=settings.security_token
        )

    async def _access_token(self) -> str:
        async with self._lock:
            now = time.monotonic()
            if (not self._token or now >= self._renew_at) and now >= self._next_try:
                await self._renew()
            if self._token:
                return self._token
            raise self._login_trouble or Unreachable("not logged in")

    async def _renew(self) -> None:
        try:
            answer = await self._login()
        except NacosError as error:
            if str(error) != str(self._login_trouble):
                log.warning("login failed: %s", error)
            self._pause = pause_after(error, self._login_trouble, self._pause)
            self._login_trouble = error
            self._next_try = time.monotonic() + self._pause
        else:
            self._login_trouble, self._next_try = None, 0.0
            self._token = str(answer["accessToken"])
            self._renew_at = time.monotonic() + RENEW_AT * float(answer.get("tokenTtl", 18_000))

    async def _login(self) -> dict[str, Any]:
        trouble: NacosError = Unreachable("no Nacos server is named")
        for server in self._settings.servers:
            try:
                return await self._login_at(server)
            except (Unreachable, Refused) as error:
                trouble = error
        raise trouble

    async def _login_at(self, server: tuple[str, int]) -> dict[str, Any]:
        settings = self._settings
        password = settings.password.get_secret_value() if settings.password else ""
        form = {"username": settings.username or "", "password": password}
        status = 0
        for path in await self._login_paths(server):
            answer = await http.send(settings, server, "POST", path, form=form)
            status = answer.status
            if is_denial(answer):
                raise Denied(f"Nacos refused the user {settings.username!r} or the password")
            body = answer.json() if status == http.OK else {}
            found: dict[str, Any] = body if "accessToken" in body else body.get("data") or {}
            if "accessToken" in found:
                return found
            if status not in http.MISSING:
                break
            self._dialects.forget(server)
        raise Refused(f"login at {in_brackets(server[0])}:{server[1]}: HTTP {status}", status)

    async def _login_paths(self, server: tuple[str, int]) -> tuple[str, ...]:
        """Return the path of the server's dialect; every path, if it tells none."""
        try:
            facts = await self._dialects.of(server)
        except Refused:
            return tuple(LOGIN_PATHS.values())
        return (LOGIN_PATHS[Dialect(facts.dialect)],)


def is_denial(answer: HttpAnswer) -> bool:
    """Return whether a login's answer denies the user, rather than tells of a failing server.

    Several versions answer a wrong password, or a user they do not know, with an error without a
    code: 2.3 sends it as the status 0, or as 500 with "User ... not found"; 3.x fails to send it,
    and its web server answers 500 with a page of its own. An error of Nacos itself has a code.
    """
    if answer.status in {*http.DENIED, CODELESS}:
        return True
    if answer.status != http.FAILED:
        return False
    try:
        page = answer.json()
    except Refused:
        return re.search(rb"(?i)user .*not found|unknown user", answer.body) is not None
    return "code" not in page and str(page.get("path", "")).endswith("/login")


def pause_after(error: NacosError, before: NacosError | None, pause: float) -> float:
    """Return the seconds from a failed login to the next.

    Args:
        error: the login's.
        before: that of the login before it; None if there was none, or it worked.
        pause: the seconds between these two.
    """
    if isinstance(error, Unreachable):
        return ABSENT_SECONDS
    shortest, longest = RELOGIN_SECONDS
    if type(error) is not type(before):  # a server that is back is not made to wait
        return shortest
    return min(RELOGIN_GROWTH * pause, longest)
