"""A version with its traits, and the login that a server of it asks for."""

import secrets
from collections.abc import Mapping

from nacos_client._sdk.wire import tenant_of

from tests.nacos_wire.traits import Trait, numbers

BEARER = "Bearer "


class Character:
    """A version, with the login that its server asks for.

    Attributes:
        version: as the server tells it.
        auth: whether clients need a login; the administration of 3.x always does.
        token: the access token that a login gives.
    """

    def __init__(self, version: str, *, auth: bool | None, password: str | None = None) -> None:
        self.version = version
        self._numbers = numbers(version)
        self.auth = self.has(Trait.ASKS_EVERY_CLIENT_FOR_A_LOGIN) if auth is None else auth
        self.username = "nacos"
        self.password = password or secrets.token_urlsafe(12)
        self.token = secrets.token_urlsafe(24)

    def has(self, trait: Trait) -> bool:
        """Return whether servers of this version behave so."""
        return self._numbers >= trait.since

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Return whether the headers of a request by gRPC carry the token."""
        return self.token in {headers.get("accessToken"), bearer(headers.get("Authorization", ""))}

    def tenant(self, spelled: str, trait: Trait) -> str:
        """Return the tenant under which documents are stored, for one that a request spells.

        Args:
            spelled: by the request.
            trait: which requests of this kind translate `public`; older servers take it literally.
        """
        return tenant_of(spelled) if self.has(trait) else spelled


def bearer(authorization: str) -> str | None:
    """Return the token of a header `Authorization: Bearer ...`."""
    token = authorization.removeprefix(BEARER)
    return token if token != authorization else None
