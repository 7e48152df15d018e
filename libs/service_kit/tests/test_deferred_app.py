"""An application that its module only names, and that a server's start builds."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from service_kit import DeferredApp
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

pytestmark = pytest.mark.anyio


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer requests, and run a lifespan of its own."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await PlainTextResponse("built")(scope, receive, send)


async def talk(app: ASGIApp, kind: str, *heard: str) -> list[dict[str, Any]]:
    """Say these messages to an application; return its answers."""
    messages = iter([{"type": each} for each in heard])
    told: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        told.append(message)

    await app({"type": kind, "method": "GET"}, receive, send)
    return told


async def test_built_at_the_start_and_taken_apart_at_the_end() -> None:
    """Nothing happens before the start, and the built application's own lifespan is run within."""
    steps: list[str] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        steps.append("build")
        yield inner
        steps.append("take apart")

    app = DeferredApp(build)
    assert steps == []
    with pytest.raises(RuntimeError, match="must run the lifespan"):
        await talk(app, "http")
    told = await talk(app, "lifespan", "lifespan.startup", "lifespan.shutdown")
    assert [each["type"] for each in told] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert steps == ["build", "take apart"]
    assert (await talk(app, "http"))[-1]["body"] == b"built"


@pytest.mark.parametrize("error", [SystemExit(2), OSError("no such model")])
async def test_what_cannot_be_built_is_not_served(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """A server is told that the start failed; it would serve an application that only raises."""

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        await asyncio.sleep(0)
        raise error
        yield inner

    with caplog.at_level(logging.ERROR):
        told = await talk(DeferredApp(build), "lifespan", "lifespan.startup")
    assert [each["type"] for each in told] == ["lifespan.startup.failed"]
    assert ("no such model" in caplog.text) is isinstance(error, OSError)


async def test_a_failure_of_the_end_is_the_server_s_to_tell() -> None:
    """The start is not called failed when the process has served and ends badly."""

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        yield inner
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        await talk(DeferredApp(build), "lifespan", "lifespan.startup", "lifespan.shutdown")
