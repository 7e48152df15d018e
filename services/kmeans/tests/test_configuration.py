"""A running clusterer follows its document in Nacos, and its entry there says which one it has."""

import asyncio
from collections.abc import Callable
from hashlib import md5

import httpx
import pytest
from kmeans.app import create_app, instance_metadata
from kmeans.clustering import GOLDEN, InForce, prepare_thread
from kmeans.schemas import EXAMPLE
from kmeans.settings import DATA_ID, ClusterConfig, KMeansSettings
from nacos_client.testing import FakeNacos
from service_kit import HealthChecks, ThreadPool

pytestmark = pytest.mark.anyio
SETTINGS = KMeansSettings.model_validate({"REQUEST_TIMEOUT_SECONDS": "120"})


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, at most 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0.005)


async def test_a_published_document_changes_answers_and_metadata():
    """Clusters published in Nacos are in the next answer, and the entry there tells the version.

    A document that is no configuration is kept out: the one before stays in force, in both places.
    """
    fake = FakeNacos()
    threads = ThreadPool("live", threads=1, queue_limit=8, prepare=prepare_thread)
    async with fake.client() as nacos:
        watched = nacos.watch(DATA_ID, ClusterConfig)
        await watched.start()
        announcement = nacos.announcement(SETTINGS.service_name, port=SETTINGS.port)
        announcement.follow(watched, lambda: instance_metadata(SETTINGS, watched.state.version))
        app = create_app(
            lambda: InForce(watched.value, watched.state.version or "default"),
            HealthChecks("skl-kmeans", "0"),
            threads,
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def asked() -> tuple[list[int], str]:
                answer = await client.post("/api/skl-kmeans", json={"points": EXAMPLE})
                return answer.json()["results"], answer.json()["config_version"]

            def registered() -> set[str]:
                return {one.metadata["config"] for one in fake.instances(SETTINGS.service_name)}

            await announcement.announce()
            await until(lambda: registered() == {"default"})
            assert await asked() == (GOLDEN[3], "default")

            document = "clusters: 4\n"
            version = md5(document.encode(), usedforsecurity=False).hexdigest()
            fake.publish(DATA_ID, document)
            await until(lambda: registered() == {version})
            assert await asked() == (GOLDEN[4], version)

            fake.publish(DATA_ID, "clusters: many\n")
            await until(lambda: nacos.states[f"config {DATA_ID}"]["rejected"] is not None)
            assert await asked() == (GOLDEN[4], version)
            assert registered() == {version}
            (entry,) = fake.instances(SETTINGS.service_name)
            assert entry.metadata["gateway.timeout"] == "120"
    threads.close()
