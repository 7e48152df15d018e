"""The settings of a client of a server whose access the tests have."""

from pathlib import Path
from typing import Any

from nacos_client import NacosSettings
from pydantic import SecretStr
from stack.access import NacosAccess


def settings_of(access: NacosAccess, cache: Path, **other: Any) -> NacosSettings:
    """Return the settings of a client, with its cache in that folder; `other` are further ones."""
    return NacosSettings(
        server_addr=access.server_addr,
        username=access.username,
        password=SecretStr(access.password),
        namespace=access.namespace,
        cache_dir=cache,
        **other,
    )
