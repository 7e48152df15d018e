"""The part that commands for operators share: a client of Nacos, and errors as exit statuses."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TextIO

from pydantic import ValidationError

from nacos_client.client import Nacos
from nacos_client.documents import explained
from nacos_client.errors import NacosError
from nacos_client.ports import Connect
from nacos_client.settings import NacosSettings

DONE, FAILED, USAGE = 0, 1, 2


def run_command(
    name: str,
    work: Callable[[Nacos], Coroutine[Any, Any, int]],
    environ: Mapping[str, str],
    err: TextIO,
    *,
    connect: Connect | None = None,
) -> int:
    """Do a command's work, and say an error in one line; returns the exit status.

    Args:
        name: of the command.
        work: takes a client; what is wrong use it says before it returns the coroutine.
        environ: where Nacos is, and who the user is.
        err: gets the line.
        connect: opens the client's connection; None for the usual one.
    """
    try:
        doing = work(Nacos(NacosSettings.from_env(environ), connect=connect))
    except ValidationError as error:
        err.write(f"{name}: {explained(error, NacosSettings)}\n")
        return USAGE
    try:
        return asyncio.run(doing)
    except (NacosError, ValueError) as error:
        err.write(f"{name}: {error}\n")
        return FAILED
