"""docs/operations.md tells the truth: its commands work, its numbers and names are the code's."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from nacos_client._sdk import choice, client_api, either, http_session
from service_kit import REQUEST_TIMEOUT_SECONDS
from service_kit.runner import END_SECONDS, LAST_SECONDS
from stack.access import NacosAccess
from stack.waiting import wait_until

from tests.docs.operations import MOVING, TEXT, blocks, commands, sections

MODELS_PASSWORD = "models-password-1"  # noqa: S105 - of a server that lives as long as this test


def watched_metrics() -> set[str]:
    """The names in the first column of the table of metrics, and in its advice."""
    table = TEXT.partition("## What to watch")[2].partition("\n## ")[0]
    return set(re.findall(r"`([a-z]+(?:_[a-z]+)+)(?:{[^`]*})?`", table))


@pytest.fixture
def account(nacos: NacosAccess) -> Iterator[NacosAccess]:
    """The server, left without the user that the document makes."""
    yield nacos
    with nacos.operator() as operator:
        operator.request("DELETE", "role", role="models", username="models")
        operator.request("DELETE", "user", username="models")


@pytest.mark.feature("the commands of docs/operations.md")
@pytest.mark.nacos
@pytest.mark.timeout(240)
def test_the_commands_work_and_make_a_user_that_suffices(
    service: Callable[..., Any], account: NacosAccess
) -> None:
    """All commands run in one shell; a service with the user they make is announced and configured.

    That user cannot write configuration, nor read that of another namespace.
    """
    kmeans = service("kmeans", account, ready=False)
    gateway = service("gateway", account, ready=False)
    kmeans.wait_ready()
    gateway.wait_ready()

    script = [block for name in sections() if name != MOVING for block in commands(name)]
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(script)],
        env={
            **os.environ,
            **account.environment,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MODELS_PASSWORD": MODELS_PASSWORD,
            "KMEANS": kmeans.url,
            "TRIAL_IP": "127.0.0.1",
            "GATEWAY_ADMIN": gateway.admin_url,
        },
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(rf'"port": ?{kmeans.port}\b', ran.stdout), "its instance is listed"

    limited = NacosAccess(account.server_addr, "models", MODELS_PASSWORD, account.namespace)
    ours = service("kmeans", account, env=limited.environment)
    wait_until(
        lambda: (
            all(state["ok"] for state in ours.readyz()[1]["checks"].values())
            and ours.readyz()[1]["checks"]["config skl-kmeans"]["source"] == "nacos"
        ),
        seconds=40,
        what=f"a service is at home in Nacos with the limited user: {ours.readyz()}",
    )
    wait_until(
        lambda: ours.readyz()[1]["checks"]["nacos"]["namespace"] == "exists",
        seconds=60,
        what="the limited user sees that the namespace exists",
    )
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        limited.publish("skl-kmeans", "clusters: 5")
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        NacosAccess(account.server_addr, "models", MODELS_PASSWORD, "public").instances("any")


@pytest.mark.nacos
def test_the_metrics_to_watch_exist(service: Callable[..., Any], nacos: NacosAccess) -> None:
    """Every metric that the document names is exported by a service or by the gateway."""
    exported = "".join(
        service(name, nacos).metrics() for name in ("classifier", "kmeans", "gateway")
    )
    names = {each.removesuffix("_total") for each in watched_metrics()}

    assert len(names) > 8
    assert {each for each in names if f"# TYPE {each}" not in exported} == set()


def test_the_platform_waits_until_a_service_has_ended() -> None:
    """The grace period in the manifest, and the text's, cover the drain and the end.

    Where Nacos answers, the end holds a request of the usual limit.
    """
    (manifest,) = (yaml.safe_load(each) for each in blocks("yaml", TEXT))
    pod = manifest["spec"]["template"]["spec"]
    env = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] > float(env["DRAIN_SECONDS"]) + END_SECONDS
    assert f"within {END_SECONDS:g} s + `DRAIN_SECONDS`" in TEXT
    assert f"get 503 {LAST_SECONDS:g} s before the end" in TEXT
    assert END_SECONDS > LAST_SECONDS + REQUEST_TIMEOUT_SECONDS


def test_the_limits_over_http_alone_are_the_codes() -> None:
    """Every figure of the section that is ours to choose."""
    section = TEXT.partition("### Where only HTTP passes")[2].partition("\n## ")[0]
    for told in (
        f"answered for {choice.HTTP_SECONDS:g} s",
        f"every {either.HTTP_RETRY_SECONDS:g} s at\nlast",
        f"{either.OVERLAP_SECONDS:g} s longer",
        f"every {http_session.ASK_SECONDS:g} s, for {http_session.AT_ONCE} services",
        f"heartbeats (every {client_api.BEAT_SECONDS:g} s)",
        client_api.BEAT_INTERVAL,
    ):
        assert told in section, told
    assert choice.LEAST_ATTEMPTS == 3
    assert "tried three times" in section
