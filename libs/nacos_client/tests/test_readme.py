"""The examples of the README are true."""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from failover import Instance
from fastapi import FastAPI
from nacos_client import AsyncNacosTransport, InstanceTls, Nacos, NacosSettings, NacosTransport
from nacos_client.asgi import NacosApp, with_nacos
from nacos_client.testing import FakeNacos
from pydantic import BaseModel, Field

pytestmark = pytest.mark.anyio

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in another thread)
            await asyncio.sleep(0.01)


async def run(example: str, **names: Any) -> dict[str, Any]:
    """Run the example that contains a word, as the body of a coroutine."""
    [source] = [text for text in EXAMPLES if example in text]
    body = "".join(f"    {line}\n" for line in source.splitlines())
    exec(f"async def main():\n{body}    return locals()", names)  # noqa: S102  (our own text)
    found: dict[str, Any] = await names["main"]()
    return found


@contextmanager
def greeter(fake: FakeNacos) -> Iterator[dict[str, Any]]:
    """An instance of `greeter` in Nacos, reached without a network."""
    fake.put_instance("greeter", Instance("192.0.2.1", 8080))
    inner = httpx.MockTransport(lambda request: httpx.Response(200, text=str(request.url)))
    http = ModuleType("httpx")
    http.Client, http.AsyncClient = httpx.Client, httpx.AsyncClient
    yield {
        "httpx": http,
        "AsyncNacosTransport": lambda nacos, **_: AsyncNacosTransport(nacos, inner=inner),
        "NacosTransport": lambda nacos: NacosTransport(nacos, inner=inner),
    }


@pytest.mark.parametrize(
    "example", ["AsyncNacosTransport(nacos)", " httpx.Client(", "InstanceTls("]
)
async def test_calling_by_name(fake: FakeNacos, nacos: Nacos, example: str) -> None:
    """All examples reach the instance that Nacos names."""
    with greeter(fake) as names:
        found = await run(example, nacos=nacos, InstanceTls=InstanceTls, Path=Path, **names)
    assert found["answer"].text == "http://192.0.2.1:8080/hello"


async def test_configuration(fake: FakeNacos, nacos: Nacos) -> None:
    """The example reads what Nacos has, its layers over each other."""
    fake.publish("company.yaml", "per_minute: 5")
    fake.publish("limits-prod.yaml", "per_minute: 7")
    found = await run("class Limits", nacos=nacos, BaseModel=BaseModel, Field=Field)
    assert found["limits"].value.per_minute == 7
    await found["limits"].close()


async def test_metadata_that_follow_a_document(fake: FakeNacos, nacos: Nacos) -> None:
    """The example publishes the version that is in force, and each later one."""

    class Limits(BaseModel):
        per_minute: int = 60

    def shown() -> list[str]:
        return [instance.metadata["config"] for instance in fake.instances("greeter")]

    await run("announcement.follow", nacos=nacos, Limits=Limits)
    await eventually(lambda: shown() == ["default"])
    fake.publish("limits.yaml", "per_minute: 5")
    version = hashlib.md5(b"per_minute: 5", usedforsecurity=False).hexdigest()
    await eventually(lambda: shown() == [version])


async def test_a_program_of_ones_own(fake: FakeNacos) -> None:
    """The example announces an instance until the program is told to stop."""
    stopped = asyncio.Event()
    names: dict[str, Any] = {
        "Nacos": lambda _: fake.client(),
        "NacosSettings": NacosSettings,
        "os": os,
        "stopped": stopped,
    }
    running = asyncio.create_task(run("stopped.wait", **names))
    await eventually(lambda: fake.instances("greeter"))
    assert [i.address for i in fake.instances("greeter")] == ["127.0.0.1:8080"]
    stopped.set()
    await running
    assert fake.instances("greeter") == ()


def test_a_fastapi_application() -> None:
    """One line makes an application that has the client, and is the application it was."""
    app = FastAPI()
    names: dict[str, Any] = {"app": app, "with_nacos": with_nacos}

    exec(next(text for text in EXAMPLES if "with_nacos(" in text), names)  # noqa: S102  (our own)

    assert names["app"] is app
    assert isinstance(app.state.nacos, Nacos)
    assert [each.cls for each in app.user_middleware] == [NacosApp]
