"""A running classifier follows its document in Nacos, and its entry there says which one it has."""

import asyncio
import logging
from collections.abc import Callable
from hashlib import md5

import httpx
import pytest
from classifier.app import create_app, instance_metadata
from classifier.engine import Engine
from classifier.schemas import EXAMPLE
from classifier.settings import DATA_ID, ClassifierSettings, ServingConfig
from nacos_client.testing import FakeNacos
from prometheus_client import REGISTRY
from service_kit import HealthChecks, ThreadPool

pytestmark = pytest.mark.anyio
SETTINGS = ClassifierSettings.model_validate({"REQUEST_TIMEOUT_SECONDS": "7.5"})
ROWS = 3


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds, at most 5 s."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the fake tells nobody
            await asyncio.sleep(0.005)


def estimated() -> float:
    """Return how many rows the estimator has answered."""
    return REGISTRY.get_sample_value("model_batch_rows_sum") or 0


async def test_a_published_document_changes_engine_log_and_metadata(model, caplog):
    """A published engine answers next, a published audit logs next; the entry tells the version.

    A document that is no configuration is kept out: the one before stays in force, in all places.
    """
    fake = FakeNacos()
    threads = ThreadPool("live", threads=1, queue_limit=8)
    caplog.set_level(logging.INFO, "classifier.audit")
    async with fake.client() as nacos:
        watched = nacos.watch(DATA_ID, ServingConfig)
        await watched.start()
        announcement = nacos.announcement(SETTINGS.service_name, port=SETTINGS.port)
        announcement.follow(
            watched, lambda: instance_metadata(SETTINGS, model.version, watched.state.version)
        )
        engine = Engine(model, lambda: watched.value)
        app = create_app(
            engine, lambda: watched.value, HealthChecks("car-evaluation", "0"), threads
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def asked() -> tuple[list[str], float, int]:
                rows, events = estimated(), len(caplog.records)
                answer = await client.post("/api/v1/predict", json={"inputs": [EXAMPLE] * ROWS})
                return answer.json()["labels"], estimated() - rows, len(caplog.records) - events

            def registered() -> set[tuple[str, str]]:
                entries = fake.instances(SETTINGS.service_name)
                return {(one.metadata["config"], one.metadata["model_version"]) for one in entries}

            labels = ["acc"] * ROWS
            await announcement.announce()
            await until(lambda: registered() == {("default", "1.0.0")})
            assert await asked() == (labels, 0, 0)

            document = "engine: estimator\naudit: {enabled: true}\n"
            version = md5(document.encode(), usedforsecurity=False).hexdigest()
            fake.publish(DATA_ID, document)
            await until(lambda: registered() == {(version, "1.0.0")})
            assert await asked() == (labels, ROWS, 1)

            fake.publish(DATA_ID, "engine: oracle\n")
            await until(lambda: nacos.states[f"config {DATA_ID}"]["rejected"] is not None)
            assert await asked() == (labels, ROWS, 1)
            assert registered() == {(version, "1.0.0")}
            (entry,) = fake.instances(SETTINGS.service_name)
            assert entry.metadata["gateway.timeout"] == "7.5"
    threads.close()
    engine.close()
