"""A service with a command line, for the tests; its registry opens for a word."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, Field
from service_kit import HealthChecks, ProcessSettings, RequestEdge, serve, start


class Registry(BaseModel):
    """Settings of a registry."""

    word: Annotated[str, Field(validation_alias="REGISTRY_WORD")] = ""
    """Word that the registry takes."""
    other: Annotated[str, Field(validation_alias="NACOS_WORD")] = ""
    """Word of another door."""


async def check(service: str, registry: Registry) -> tuple[bool, str]:
    return bool(
        registry.word
    ), f"{registry.word} opens for {service}" if registry.word else "closed"


async def main(settings: ProcessSettings, _: Registry) -> None:
    health = HealthChecks(settings.service_name, "0")
    await serve(RequestEdge(FastAPI()), settings, health=health)


if __name__ == "__main__":
    start(main, ProcessSettings, Registry, check=check)
