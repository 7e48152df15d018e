"""The logins of a new Nacos: the administrator's, and one for the services that may do little."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from stack.access import NacosAccess
from stack.logins import in_background, services_access
from stack.nacos import NacosServer
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.timeout(400)]

PASSWORD = "models-password-1"  # noqa: S105 - of a server that lives as long as this test
MADE_SECONDS = 240.0


def make_logins(server: NacosServer, log: Path) -> None:
    """Run the program until both logins work."""
    with in_background([server], PASSWORD, log) as making:
        wait_until(making.is_done, seconds=MADE_SECONDS, what=f"the logins; {log}")


def test_the_services_have_a_login_of_their_own(
    own_nacos: NacosServer, service: Callable[..., Any], tmp_path: Path
) -> None:
    """A new server has both logins, and has them again when the program runs again.

    By theirs a service registers and follows its document; it can neither publish one nor make a
    user, nor either in another namespace, and the program tells no secret.
    """
    own_nacos.start()
    log = tmp_path / "logins.log"
    make_logins(own_nacos, log)
    told = log.read_text()
    make_logins(own_nacos, log)
    admin = own_nacos.access
    models = services_access([own_nacos], PASSWORD)
    admin.publish("skl-kmeans", "clusters: 4")
    kmeans = service("kmeans", models)

    def checks() -> dict[str, Any]:
        return dict(kmeans.readyz()[1]["checks"])

    wait_until(
        lambda: all(each["ok"] for each in checks().values()), seconds=60, what="all is well"
    )
    wait_until(lambda: len(admin.instances("skl-kmeans")) == 1, seconds=30, what="registration")
    other = admin.new_namespace("other")
    other.publish("skl-kmeans", "clusters: 5")

    assert checks()["config skl-kmeans"]["source"] == "nacos"
    for forbidden in (
        lambda: models.publish("skl-kmeans", "clusters: 6"),
        lambda: make_user(models),
        lambda: replace(models, namespace="other").publish("skl-kmeans", "clusters: 6"),
    ):
        with pytest.raises(httpx.HTTPStatusError, match="403"):
            forbidden()
    for secret in (PASSWORD, admin.password, own_nacos.secrets.identity):
        assert secret not in told


def make_user(access: NacosAccess) -> None:
    """Make a user, as only an administrator may."""
    with access.operator() as operator:
        operator.request("POST", "user", username="intruder", password="intruder-1")  # noqa: S106
