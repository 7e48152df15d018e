"""An application in the hands of uvicorn, with a Nacos in memory that its routes tell about."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from nacos_client.asgi import with_nacos
from nacos_client.testing import FakeNacos

fake = FakeNacos()
events: list[str] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    events.append(f"start, client runs: {app.state.nacos.states['nacos']['ok']}")
    yield
    print("own lifespan ends, in Nacos:", fake.instances("greeter"), flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/seen")
async def seen() -> dict[str, list[str]]:
    """Tell what Nacos shows, and what has happened."""
    return {"instances": [one.address for one in fake.instances("greeter")], "events": events}


@app.get("/slow")
async def slow() -> str:
    """Answer when the process has been told to stop."""
    os.kill(os.getpid(), signal.SIGTERM)
    while fake.instances("greeter"):  # noqa: ASYNC110  (the event is in another thread)
        await asyncio.sleep(0.01)
    return "done"


if __name__ == "__main__":
    with_nacos(app, name="greeter", drain_seconds=float(sys.argv[2]), nacos=fake.client())
    uvicorn.run(app, port=int(sys.argv[1]), host="127.0.0.1", access_log=False)
