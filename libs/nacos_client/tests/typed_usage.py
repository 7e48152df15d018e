# pyright: strict
"""How a user's code looks to a type checker; `test_types.py` runs pyright over it, strict."""

import os
from typing import assert_type

import httpx
from fastapi import FastAPI
from nacos_client import (
    AsyncNacosTransport,
    InstanceTls,
    Known,
    Nacos,
    NacosSettings,
    NacosTransport,
    Shown,
    Unknown,
    Watched,
)
from nacos_client.asgi import NacosApp, with_nacos
from nacos_client.testing import FakeNacos
from pydantic import BaseModel


class Settings(BaseModel):
    """A document."""

    clusters: int = 3


def plain(settings: Settings) -> str:
    """Build a value."""
    return str(settings.clusters)


async def awaited(settings: Settings) -> bytes:
    """Build a value, with awaits."""
    return bytes(settings.clusters)


async def use() -> None:
    """Touch every public name."""
    settings = NacosSettings(server_addr="nacos:8848", username=None)
    async with Nacos(settings) as nacos:
        announcement = nacos.announcement("models", port=8001, metadata={"version": "1"})
        await announcement.announce()
        await announcement.update(weight=2.0, enabled=False)
        assert_type(announcement.state.shown, Shown)
        await announcement.withdraw()
        watched = nacos.watch("models", Settings)
        assert_type(watched, Watched[Settings])
        announcement.follow(watched, lambda: {"config": watched.state.version})
        assert_type(nacos.watch("models", Settings, build=plain), Watched[str])
        assert_type(nacos.watch("models", Settings, build=awaited), Watched[bytes])
        match nacos.discover("models").snapshot:
            case Known(instances=instances, stale=stale):
                assert_type(stale, bool)
                assert_type([instance.address for instance in instances], list[str])
            case Unknown(reason=reason):
                assert_type(reason, str)
        async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos)) as client:
            await client.get("http://models/")
    async with FakeNacos().client() as fake:
        document = await fake.fetch("models")
        assert_type(document.md5 if document else None, str | None)


def use_without_a_loop() -> None:
    """Call by name from plain code."""
    settings, tls = NacosSettings.from_env(os.environ), InstanceTls(name="{service}.internal")
    with httpx.Client(transport=NacosTransport(settings, tls=tls)) as client:
        client.get("http://models/")


def adopt() -> None:
    """Let an application join, which stays what it is."""
    app = FastAPI()
    app = with_nacos(app, name="models", port=8001, metadata={"version": "1"})
    assert_type(app, FastAPI)
    NacosApp(app, nacos=FakeNacos().client(), name="models", prepare=lambda one: one.state)
