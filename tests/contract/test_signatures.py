"""The access key's signatures are the vendor's; open-source Nacos would not check them."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nacos_client import NacosSettings
from nacos_client._sdk.access_key import AccessKey, sign
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.session import SdkSession
from nacos_client.ports import DocumentKey, ServiceKey
from stack.jars import class_path
from stack.releases import NEWEST, RELEASES

pytestmark = [pytest.mark.nacos, pytest.mark.anyio]

PLAIN = {"AccessKeyId": "access", "AccessKeySecret": "s3cret/with+signs="}
TEMPORARY = {
    "AccessKeyId": "STS.access",
    "AccessKeySecret": "another/s3cret=",
    "SecurityToken": "t0ken/with+signs==",
    "Expiration": "2199-12-31T23:59:59Z",
}
REGION, NAMESPACE = "cn-hangzhou", "prod"


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


@pytest.fixture(scope="module")
def vendors() -> Mapping[str, Mapping[str, Mapping[str, str]]]:
    """The headers of the vendor's newest Java client, by case and kind of request."""
    source = Path(__file__).with_name("Sign.java")
    arguments = (*PLAIN.values(), json.dumps(TEMPORARY), REGION, NAMESPACE, "BLUE", "models")
    argv = ["java", "-cp", class_path(RELEASES[NEWEST]), str(source), *arguments]
    ran = subprocess.run(argv, check=True, capture_output=True, text=True)
    headers: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for line in ran.stdout.splitlines():
        if line.startswith("header "):
            _, case, what, name, value = line.split()
            headers[case][what][name] = value
    return headers


@pytest.mark.parametrize("namespace", ["public", NAMESPACE])
@pytest.mark.parametrize("region", [None, REGION])
@pytest.mark.parametrize("key", [PLAIN, TEMPORARY], ids=["plain", "temporary"])
async def test_requests_are_signed_as_the_vendors_java_client_signs_them(
    vendors: Mapping[str, Mapping[str, Mapping[str, str]]],
    tmp_path: Path,
    key: Mapping[str, str],
    region: str | None,
    namespace: str,
) -> None:
    """Same key, same resource, same millisecond: the same headers, for each kind of request.

    That holds for temporary keys (STS) and for those of a region (v4) too. The Java client has an
    empty name for the namespace `public`.
    """
    settings = NacosSettings(namespace=namespace, cache_dir=tmp_path)
    link = Recorder()
    session = SdkSession(settings, "signing", Administration(settings), lambda *_: link)
    await session.instances(ServiceKey("models", "BLUE"))
    await session.fetch(DocumentKey("models", "BLUE"))
    await session.listen(DocumentKey("models", "BLUE"), "", lambda: None)

    given = (key is TEMPORARY, region is not None, namespace == NAMESPACE)
    expected = vendors[",".join("+" if each else "-" for each in given)]
    ours = AccessKey.model_validate_json(json.dumps(key))
    kinds = {
        "naming": "ServiceQueryRequest",
        "config": "ConfigQueryRequest",
        "listen": "ConfigBatchListenRequest",
    }
    assert set(expected) == set(kinds)
    for what, kind in kinds.items():
        millis = int(expected[what].get("Timestamp") or expected[what]["data"].partition("@@")[0])
        signed = sign(ours, region=region, millis=millis, **link.signed[kind])
        assert signed == expected[what]
