"""The secrets of one checkout: random, made once, kept in `deploy/.env`, never in git."""

from pathlib import Path

from stack import ROOT
from stack.nacos import NacosSecrets, write_private

FILE = ROOT / "deploy" / ".env"
NAMES = {
    "password": "NACOS_PASSWORD",
    "identity": "NACOS_AUTH_IDENTITY_VALUE",
    "token_key": "NACOS_AUTH_TOKEN",
}
"""Field of `NacosSecrets`, and the variable that Compose reads."""


def read_or_make(file: Path = FILE) -> NacosSecrets:
    """Return the secrets in `file`; what is missing there is made and added.

    The file is readable by its owner only; its other lines stay.
    """
    lines = file.read_text().splitlines() if file.exists() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
    known = {field: found[name] for field, name in NAMES.items() if found.get(name)}
    secrets = NacosSecrets(**known)
    if len(known) < len(NAMES):
        lines += [f"{name}={getattr(secrets, field)}" for field, name in NAMES.items()]
        write_private(file, "\n".join(lines) + "\n")
    return secrets
