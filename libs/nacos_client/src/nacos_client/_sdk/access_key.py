"""Access keys: read from a file that another process renews, and used to sign requests.

The signatures are those of the vendor's Java client (com.alibaba.nacos.client.auth.ram): of a key
itself, or of a key that is derived for one region and one day (`signatureVersion` v4).
"""

import asyncio
import base64
import hmac
import logging
import time
from datetime import datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from nacos_client.errors import Denied
from nacos_client.settings import AccessKeyId, SecretKey, SecurityToken

log = logging.getLogger(__name__)

READ_SECONDS = 1.0
"""Seconds between two readings of a key file: a renewed key is in use after this time."""
MAX_BYTES = 64 * 1024
REGIONAL_PREFIX, REGIONAL_STEPS = "aliyun_v4", ("mse-nacos", "aliyun_v4_request")
"""The words from which the Java client's CalculateV4SigningKeyUtil derives a key, before the secret
and after the region."""


class AccessKey(BaseModel):
    """An access key; one that is temporary has a security token and an end.

    The names of its fields in JSON are those of STS, and of a cloud host's metadata. Both send
    more fields, which are passed over.
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, validate_by_name=True
    )

    id: AccessKeyId = Field(validation_alias="AccessKeyId")
    secret: SecretKey = Field(validation_alias="AccessKeySecret")
    token: SecurityToken | None = Field(default=None, validation_alias="SecurityToken")
    expiration: AwareDatetime | None = Field(default=None, validation_alias="Expiration")

    def is_expired(self, now: datetime) -> bool:
        """Return whether the server takes the key no more."""
        return self.expiration is not None and self.expiration <= now


def sign(
    key: AccessKey, *, region: str | None, naming: str | None, config: str | None, millis: int
) -> dict[str, str]:
    """Sign a request as hosted Nacos expects: HMAC-SHA1 over its time and its resource.

    Args:
        key: the access key.
        region: id of the region for which the key is derived; None for the key itself.
        naming: as in `Credentials.headers`.
        config: as in `Credentials.headers`; makes the headers those of a configuration request.
        millis: Unix time of the request in milliseconds.
    """
    secret = key.secret.get_secret_value()
    headers: dict[str, str] = {}
    if key.token is not None:
        headers["Spas-SecurityToken"] = key.token.get_secret_value()
    if region is not None:
        secret = regional(secret, region, time.strftime("%Y%m%d", time.gmtime(millis / 1000)))
        headers["signatureVersion"] = "v4"

    def signature(text: str) -> str:
        return _base64(hmac.digest(secret.encode(), text.encode(), "sha1"))

    if config is not None:
        return headers | {
            "Spas-AccessKey": key.id,
            "Spas-Signature": signature(f"{config}+{millis}" if config else str(millis)),
            "Timestamp": str(millis),
        }
    data = f"{millis}@@{naming}" if naming else str(millis)
    return headers | {"ak": key.id, "data": data, "signature": signature(data)}


def regional(secret: str, region: str, day: str) -> str:
    """Derive the secret for a region and a day, such as `20260131`, of UTC."""
    derived = f"{REGIONAL_PREFIX}{secret}".encode()
    for step in (day, region, *REGIONAL_STEPS):
        derived = hmac.digest(derived, step.encode(), "sha256")
    return _base64(derived)


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


class KeyFile:
    """A file with an access key in JSON, which another process renews before the key expires.

    A text that is no good key does not replace a good one, which is used until it expires.

    Attributes:
        trouble: the reason why the file's text is not in use, or None.
    """

    def __init__(self, path: Path) -> None:
        self.trouble: Denied | None = None
        self._path = path
        self._key: AccessKey | None = None
        self._due = 0.0
        self._lock = asyncio.Lock()

    def doubt(self) -> None:
        """Read the file at the next request, for the server refused the key."""
        self._due = 0.0

    async def key(self, now: datetime) -> AccessKey:
        """Return the last good key; the file is read for that, at most once a second.

        Raises:
            Denied: there is none, or it has expired.
        """
        async with self._lock:
            if time.monotonic() >= self._due or (self._key and self._key.is_expired(now)):
                await self._renew(now)
                self._due = time.monotonic() + READ_SECONDS
        if self._key is None or self._key.is_expired(now):
            raise Denied(str(self.trouble))
        return self._key

    async def _renew(self, now: datetime) -> None:
        try:
            key = await asyncio.to_thread(read_key, self._path, now)
        except Denied as error:
            if str(error) != str(self.trouble):
                log.warning("%s", error)
            self.trouble = error
            return
        if key != self._key or self.trouble is not None:
            log.info(
                "access key of %s, good until %s", self._path, key.expiration or "it is replaced"
            )
        self.trouble, self._key = None, key


def read_key(path: Path, now: datetime) -> AccessKey:
    """Read a key file.

    Raises:
        Denied: it cannot be read, is no key, or its key has expired; no secret is in the message.
    """
    name = f"NACOS_CREDENTIALS_FILE={path}"
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise Denied(f"{name} has more than {MAX_BYTES} bytes: it is no access key")
        key = AccessKey.model_validate_json(text)
    except OSError as error:
        raise Denied(f"{name} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        reasons = (" ".join((*map(str, each["loc"]), each["msg"])) for each in found)
        raise Denied(f"{name} is no access key: {'; '.join(reasons)}") from error
    if key.is_expired(now):
        raise Denied(f"{name} has a key that expired at {key.expiration}: renew the file")
    return key
