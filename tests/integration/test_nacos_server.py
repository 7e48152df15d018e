"""The local Nacos server is the real thing, and safe to leave running on a laptop."""

import stat
from pathlib import Path

import httpx
import pytest
from stack.access import PATHS, NacosAccess
from stack.nacos import NacosServer

pytestmark = pytest.mark.nacos


def test_a_document_can_be_published_and_withdrawn(nacos: NacosAccess) -> None:
    """An operator's document is accepted; deleting it twice is no error."""
    nacos.publish("example", "clusters: 4")
    nacos.withdraw("example")
    nacos.withdraw("example")

    assert nacos.instances("nobody") == []


def test_nothing_is_shown_without_a_login(nacos_server: NacosAccess) -> None:
    """Authentication is on: documents and instances are refused to a caller without a token."""
    with nacos_server.operator() as operator:
        path = PATHS["document"][operator.dialect]
    group = {"groupName": "DEFAULT_GROUP", "group": "DEFAULT_GROUP"}
    answer = httpx.get(f"{nacos_server.url}{path}", params={"dataId": "kmeans", **group})

    assert answer.status_code in {401, 403}


@pytest.mark.outage
def test_a_killed_server_comes_back_with_its_data(own_nacos: NacosServer) -> None:
    """After a crash the same login works and the namespaces are still there."""
    own_nacos.start()
    own_nacos.wait_ready()
    kept = own_nacos.access.new_namespace("kept")
    own_nacos.kill()
    own_nacos.start()
    own_nacos.wait_ready()

    kept.publish("example", "clusters: 4")


def test_its_secrets_are_for_the_owner_only(tmp_path: Path) -> None:
    """Password and keys are random and in files that nobody else can read."""
    one, other = NacosServer(tmp_path / "one"), NacosServer(tmp_path / "other")
    kept = tmp_path / "one" / "secrets.json"

    assert one.password != other.password
    assert one.password not in repr(one.access)
    assert stat.S_IMODE(kept.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR
    assert NacosServer(tmp_path / "one").password == one.password
