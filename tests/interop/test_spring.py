"""Spring Cloud Alibaba calls the Python services by name, with nothing configured for it."""

import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from nacos_client import NacosSettings
from nacos_client.promote import parser as promote_parser, run as promote
from nacos_client.transport import NacosTransport
from stack.access import NacosAccess
from stack.waiting import wait_until

pytestmark = [pytest.mark.interop, pytest.mark.nacos]

SERVICES = ("car-evaluation", "skl-kmeans")
CLIENTS = ("feign", "rest-template")
BALANCERS = {
    "spring default": (),
    "nacos": ("--spring.cloud.loadbalancer.nacos.enabled=true",),
}
TURNS = 12
"""Each client asks so often; a random balancer leaves an instance out once in 8 million runs."""
OF_THE_CLUSTER_DEFAULT = "--spring.cloud.nacos.discovery.cluster-name=DEFAULT"
IN_A_CLUSTER_OF_ITS_OWN = {"NACOS_CLUSTER": "CANARY", "MODEL_VERSION": "1.1.0"}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("properties", BALANCERS.values(), ids=BALANCERS)
def test_spring_calls_the_models_by_name(
    models: Callable[..., Any],
    spring: Callable[..., Any],
    nacos: NacosAccess,
    answers: dict[str, Any],
    properties: tuple[str, ...],
) -> None:
    """OpenFeign and a @LoadBalanced RestTemplate reach every instance, under both balancers.

    They are shown an IPv4 literal (Nacos's balancer drops other hosts), the protocol, the versions,
    the time limit that the environment sets.
    """
    running = models(REQUEST_TIMEOUT_SECONDS="7.5")
    caller = spring(nacos, *properties)

    for name in SERVICES:
        caller.wait_knows(name, 2)
        for instance in caller.knows(name):
            assert instance["uri"].startswith("http://127.0.0.1:")
            assert instance["metadata"]["protocol"] == "http"
            assert instance["metadata"]["preserved.register.source"] == "PYTHON"
            assert instance["metadata"].keys() >= {"version", "model_version"}
            assert instance["metadata"]["gateway.timeout"] == "7.5"
        for client in CLIENTS * TURNS:
            given = caller.ask(client, name)

            assert answers[name].items() <= given.items()
        assert min(running.answered(name)) > 0, running.answered(name)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("properties", BALANCERS.values(), ids=BALANCERS)
def test_spring_meets_a_canary_once_it_is_promoted(
    models: Callable[..., Any],
    service: Callable[..., Any],
    spring: Callable[..., Any],
    nacos: NacosAccess,
    properties: tuple[str, ...],
) -> None:
    """Before, it does not even list it: the canary has no weight. After, it lists nothing else."""
    models(NACOS_CANARY="false")
    service("classifier", nacos, env={"NACOS_CANARY": "true", "MODEL_VERSION": "1.1.0"})
    wait_until(
        lambda: len(nacos.instances("car-evaluation")) == 3,
        seconds=20,
        what="Nacos shows the canary",
    )
    caller = spring(nacos, *properties)
    caller.wait_knows("car-evaluation", 2)
    given = {caller.ask(client, "car-evaluation")["version"] for client in CLIENTS * TURNS}
    assert given == {"1.0.0"}

    def canary(*words: str) -> int:
        options = promote_parser().parse_args([*words])
        return promote(options, nacos.environment, sys.stdout, sys.stderr)

    assert canary("promote", "car-evaluation", "model_version=1.1.0") == 0
    caller.wait_knows("car-evaluation", 1)
    (shown,) = caller.knows("car-evaluation")
    assert shown["metadata"]["model_version"] == "1.1.0"

    assert canary("take-back", "car-evaluation") == 0
    caller.wait_knows("car-evaluation", 2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("properties", "met"),
    [
        (BALANCERS["spring default"], {"1.0.0", "1.1.0"}),
        (BALANCERS["nacos"], {"1.0.0", "1.1.0"}),
        ((*BALANCERS["nacos"], OF_THE_CLUSTER_DEFAULT), {"1.0.0"}),
    ],
    ids=["spring default", "nacos", "nacos, of a cluster"],
)
def test_a_cluster_of_its_own_hides_a_canary_from_spring_only_if_spring_has_a_cluster(
    models: Callable[..., Any],
    service: Callable[..., Any],
    spring: Callable[..., Any],
    nacos: NacosAccess,
    *,
    properties: tuple[str, ...],
    met: set[str],
) -> None:
    """With a weight as any it gets its part, unless Nacos' balancer is told of a cluster to keep.

    Spring's default balancer reads no clusters, and without `cluster-name` Nacos' has none.
    """
    models()
    service("classifier", nacos, env=IN_A_CLUSTER_OF_ITS_OWN)
    caller = spring(nacos, *properties)
    caller.wait_knows("car-evaluation", 3)

    assert {caller.ask(each, "car-evaluation")["version"] for each in CLIENTS * TURNS} == met


@pytest.mark.timeout(120)
def test_a_cluster_of_its_own_hides_a_canary_from_our_callers(
    models: Callable[..., Any],
    service: Callable[..., Any],
    nacos: NacosAccess,
    questions: dict[str, Any],
) -> None:
    """The gateway and NacosTransport keep to their own cluster while it serves."""
    models()
    service("classifier", nacos, env=IN_A_CLUSTER_OF_ITS_OWN)
    gateway, path = service("gateway", nacos), "car-evaluation/api/v1/predict"
    transport = NacosTransport(NacosSettings.from_env(nacos.environment))
    with httpx.Client(transport=transport) as by_name, httpx.Client(trust_env=False) as plain:
        given = [
            client.post(url, json=questions["car-evaluation"], timeout=10).json()["version"]
            for client, url in ((by_name, f"http://{path}"), (plain, f"{gateway.url}/{path}"))
            for _ in range(TURNS)
        ]

    assert set(given) == {"1.0.0"}


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_a_rolling_restart_loses_no_call_from_spring(
    models: Callable[..., Any],
    spring: Callable[..., Any],
    nacos: NacosAccess,
    steady_calls: Callable[..., Any],
    questions: dict[str, Any],
) -> None:
    """With DRAIN_SECONDS=40 a caller that caches instances for 35 s notices nothing of a deploy.

    One instance of both services after the other is ended, and started again once it has gone,
    while Spring, all its settings at their defaults, calls 20 times a second.
    """
    running = models(DRAIN_SECONDS="40")
    caller = spring(nacos)
    targets = [
        (caller.route(client, name), questions[name]) for client in CLIENTS for name in SERVICES
    ]
    for client in CLIENTS:
        for name in SERVICES:
            caller.ask(client, name)  # classes are loaded, connections are open

    before = time.monotonic()
    with steady_calls(targets, 0.05) as calls:
        for number in range(2):
            turn = [instances[number] for instances in running.instances.values()]
            for one in turn:
                one.terminate()
            for one in turn:
                assert one.process.wait(60), "ends by itself, after its drain"
                one.start()
            for one in turn:
                one.wait_ready()
            for name in SERVICES:
                wait_until(
                    lambda name=name: len(nacos.instances(name)) == 2,
                    seconds=20,
                    what=f"both instances of {name} are back",
                )
        for name in SERVICES:
            wait_until(
                lambda name=name: min(running.answered(name)) > 0,
                seconds=45,
                what=f"Spring calls the restarted instances of {name} again",
            )
        made = (time.monotonic() - before) / 0.05

    assert calls.lost == []
    assert calls.answered > 0.95 * made
