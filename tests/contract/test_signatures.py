"""The access key's signatures are the vendor's; open-source Nacos would not check them."""

import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nacos_client import NacosSettings
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.auth import sign
from nacos_client._sdk.session import SdkSession
from nacos_client.ports import DocumentKey, ServiceKey
from pydantic import SecretStr
from stack.jars import class_path
from stack.releases import NEWEST, RELEASES

pytestmark = [pytest.mark.nacos, pytest.mark.anyio]

ACCESS_KEY, SECRET_KEY = "access", "s3cret/with+signs="


class Recorder:
    """Stands where a session has its link, and keeps what a request is signed for."""

    def __init__(self) -> None:
        self.signed: dict[str, Mapping[str, str | None]] = {}

    async def call(
        self,
        kind: str,
        body: Mapping[str, Any],  # noqa: ARG002  (as the link's)
        *,
        naming: str | None = None,
        config: str | None = None,
    ) -> Mapping[str, Any]:
        """Answer anything."""
        self.signed[kind] = {"naming": naming, "config": config}
        return {"content": "", "md5": ""}


def vendor_headers(tenant: str) -> Mapping[str, dict[str, str]]:
    """Have the vendor's newest Java client sign three requests."""
    source = Path(__file__).with_name("Sign.java")
    keys = (ACCESS_KEY, SECRET_KEY, tenant, "BLUE", "models")
    argv = ["java", "-cp", class_path(RELEASES[NEWEST]), str(source), *keys]
    ran = subprocess.run(argv, check=True, capture_output=True, text=True)
    headers: dict[str, dict[str, str]] = defaultdict(dict)
    for line in ran.stdout.splitlines():
        what, name, value = line.split()
        headers[what][name] = value
    return headers


@pytest.mark.parametrize(("namespace", "tenant"), [("prod", "prod"), ("public", "")])
async def test_requests_are_signed_as_the_vendors_java_client_signs_them(
    tmp_path: Path, namespace: str, tenant: str
) -> None:
    """Same key, same resource, same millisecond: the same headers, for each kind of request.

    The Java client has an empty name for the namespace `public`.
    """
    settings = NacosSettings(
        namespace=namespace,
        access_key=ACCESS_KEY,
        secret_key=SecretStr(SECRET_KEY),
        cache_dir=tmp_path,
    )
    link = Recorder()
    session = SdkSession(settings, "signing", Administration(settings), lambda *_: link)
    await session.instances(ServiceKey("models", "BLUE"))
    await session.fetch(DocumentKey("models", "BLUE"))
    await session.listen(DocumentKey("models", "BLUE"), "", lambda: None)

    expected = vendor_headers(tenant)
    kinds = {
        "naming": "ServiceQueryRequest",
        "config": "ConfigQueryRequest",
        "listen": "ConfigBatchListenRequest",
    }
    assert set(expected) == set(kinds)
    for what, kind in kinds.items():
        millis = int(expected[what].get("Timestamp") or expected[what]["data"].partition("@@")[0])
        ours = sign(ACCESS_KEY, SECRET_KEY, millis=millis, **link.signed[kind])
        assert ours == expected[what]
