from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request
from nacos_client import AsyncNacosTransport
from nacos_client.asgi import with_nacos
from pydantic import BaseModel


class Greeting(BaseModel):
    text: str = "hello"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    nacos = app.state.nacos
    app.state.greeting = nacos.watch("greeter.yaml", Greeting)
    await app.state.greeting.start()
    async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/hello")
async def hello(request: Request) -> dict[str, str]:
    return {"greeting": request.app.state.greeting.value.text}


@app.get("/mirror")
async def mirror(request: Request) -> dict[str, str]:
    answer = await request.app.state.client.get("http://greeter/hello")
    return {"mirrored": answer.json()["greeting"]}


app = with_nacos(app, name="greeter")
