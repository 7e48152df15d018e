"""The service's document in Nacos, good and bad."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import md5

import anyio
import httpx
import pytest
from model_service import settings_of, started
from nacos_client.testing import FakeNacos
from service_conformance.subject import DESCRIPTIONS, SECONDS, declaration, example_of

pytestmark = pytest.mark.anyio
BAD = {
    "an unknown setting": '{"no_such_setting": 1}',
    "a list": "[1, 2]",
    "a text": "just words",
    "no YAML": "a: [",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def served(named: str) -> AsyncIterator[tuple[FakeNacos, httpx.AsyncClient]]:
    """Serve a model within this process, with a Nacos in memory."""
    declared = declaration(named)
    settings, fake = settings_of(declared).model_validate({}), FakeNacos()
    model = declared.load(settings)
    async with fake.client() as nacos, started(model, settings, nacos) as running:
        transport = httpx.ASGITransport(running.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            yield fake, client


async def answer(client: httpx.AsyncClient, named: str) -> dict[str, object]:
    """Return the answer to the first example, without what each request has of its own."""
    path = declaration(named).path
    for place in DESCRIPTIONS:
        found = await client.get(place)
        if found.is_success:
            break
    description = found.json()
    content = description["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    given = await client.post(path, json=example_of(content, description))
    assert given.status_code == 200, given.text
    return given.json() | {"request_id": ""}


async def until(client: httpx.AsyncClient, name: str, **expected: object) -> dict[str, object]:
    """Return the state of the document once it has these values."""
    with anyio.fail_after(SECONDS):
        while True:
            state = (await client.get("/readyz")).json()["checks"][f"config {name}"]
            if all(state[key] == value for key, value in expected.items()):
                return state
            await anyio.sleep(0.02)


async def test_a_good_document_is_in_force_at_once(model_service_name):
    """A document with every setting's default is in force, and its version is told."""
    declared = declaration(model_service_name)
    document = json.dumps(declared.Config().model_dump(mode="json"))
    async with served(model_service_name) as (fake, client):
        before = await answer(client, model_service_name)
        fake.publish(declared.name, document)
        state = await until(client, declared.name, source="nacos")
        after = await answer(client, model_service_name)

    version = md5(document.encode(), usedforsecurity=False).hexdigest()
    assert (state["version"], state["rejected"]) == (version, None)
    own = {"config_version": "", "version": ""}
    assert after | own == before | own


@pytest.mark.parametrize("document", BAD.values(), ids=BAD)
async def test_a_bad_document_changes_nothing(model_service_name, document):
    """A document that cannot be used is refused with a reason; answers stay as they were."""
    name = declaration(model_service_name).name
    async with served(model_service_name) as (fake, client):
        before = await answer(client, model_service_name)
        fake.publish(name, document)
        with anyio.fail_after(SECONDS):
            while True:
                state = (await client.get("/readyz")).json()["checks"][f"config {name}"]
                if state["rejected"]:
                    break
                await anyio.sleep(0.02)
        after = await answer(client, model_service_name)

    assert state["source"] == "default"
    assert after == before
