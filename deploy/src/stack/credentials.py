"""The secrets of one checkout: random, made once, kept in `deploy/.env`, never in git."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from stack import ROOT, STATE
from stack.lock import one_at_a_time
from stack.nacos import NacosSecrets, write_private

FILE = ROOT / "deploy" / ".env"
"""Compose reads its variables from this file, because it stands beside docker-compose.yml."""


@dataclass(frozen=True, slots=True)
class StackCredentials:
    """The secrets that the stack's parts share.

    Attributes:
        nacos: its administrator's password, and those that its servers share.
        models_password: of the user in Nacos by which the services log in.
        admin_token: of the gateway's admin port.
    """

    nacos: NacosSecrets
    models_password: str
    admin_token: str


@one_at_a_time(STATE / "credentials.lock")
def read_or_make(file: Path = FILE) -> StackCredentials:
    """Return the secrets in `file`; make and add those that are missing there.

    The file is readable by its owner only; its other lines stay.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    made = NacosSecrets()
    random = {
        "NACOS_PASSWORD": made.password,
        "NACOS_AUTH_IDENTITY_VALUE": made.identity,
        "NACOS_AUTH_TOKEN": made.token_key,
        "MODELS_PASSWORD": secrets.token_urlsafe(18),
        "GATEWAY_ADMIN_TOKEN": secrets.token_urlsafe(24),
    }
    missing = {name: value for name, value in random.items() if not found.get(name)}
    if missing:
        lines += [f"{name}={value}" for name, value in missing.items()]
        write_private(file, "\n".join(lines) + "\n")
    kept = {**found, **missing}
    return StackCredentials(
        NacosSecrets(
            kept["NACOS_PASSWORD"], kept["NACOS_AUTH_IDENTITY_VALUE"], kept["NACOS_AUTH_TOKEN"]
        ),
        kept["MODELS_PASSWORD"],
        kept["GATEWAY_ADMIN_TOKEN"],
    )
