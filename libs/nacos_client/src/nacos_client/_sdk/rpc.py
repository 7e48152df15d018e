"""gRPC as Nacos uses it: channels, calls, and the meaning of their failures."""

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from failover import in_brackets

from nacos_client._sdk import tls, wire
from nacos_client._sdk.wire import Message
from nacos_client.errors import NacosError, Unreachable
from nacos_client.settings import NacosSettings

CALL_SECONDS = 3.0
MAX_MESSAGE_BYTES = 100 * 1024 * 1024
REQUEST = "/Request/request"
STREAM = "/BiRequestStream/requestBiStream"

Stream = Any
"""`grpc.aio.StreamStreamCall`; grpcio ships no types."""

_grpc_pid: int | None = None


class BrokenError(Exception):
    """The connection is over; the message says why."""


LOSSES = (
    BrokenError,
    TimeoutError,
    Unreachable,
    ValueError,
    asyncio.InvalidStateError,
    grpc.aio.AioRpcError,
)
"""The errors that end a connection; gRPC reports the use of an ended stream as an invalid state."""


def open_channel(settings: NacosSettings, host: str, port: int) -> grpc.aio.Channel:
    """Make a channel to a server; nothing is sent yet.

    Raises:
        Unreachable: a file for TLS cannot be used.
    """
    target = f"{in_brackets(host)}:{settings.grpc_port(port)}"
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    if not settings.tls:
        return grpc.aio.insecure_channel(target, options=options)
    if settings.tls_server_name:
        options.append(("grpc.ssl_target_name_override", settings.tls_server_name))
    return grpc.aio.secure_channel(target, tls.credentials(settings), options=options)


async def ask(channel: grpc.aio.Channel, message: Message) -> Message:
    """Send a request and await its answer, at most three seconds."""
    call = channel.unary_unary(REQUEST)(wire.encode(message), timeout=CALL_SECONDS)
    return wire.decode(await own(call))


def refuse_forked_grpc() -> None:
    """Refuse to run gRPC in a forked child; the first call remembers the process that runs it.

    Raises:
        NacosError: gRPC ran in the parent of this forked process, where it cannot run again.
    """
    global _grpc_pid  # noqa: PLW0603  (a fact of the process, as gRPC itself is)
    _grpc_pid = _grpc_pid or os.getpid()
    if _grpc_pid != os.getpid():
        raise NacosError(
            "gRPC does not survive a fork: start Nacos after forking, in each worker, or start "
            "workers by spawn"
        )


async def own(call: Awaitable[Any]) -> Any:
    """Await a call of gRPC, and translate gRPC's own `CancelledError`.

    gRPC raises this error when the channel is closed. Taken for a cancellation of the waiting
    task, it would end that task unnoticed.

    Raises:
        BrokenError: the channel was closed.
    """
    try:
        return await call
    except asyncio.CancelledError:
        if _is_cancelled():
            raise
        raise BrokenError("the connection was closed") from None


def _is_cancelled() -> bool:
    """Return whether the current task is being cancelled.

    In a function of its own, because an error whose frames hold the task would hold itself.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def in_words(error: Exception) -> str:
    """Say what went wrong, without gRPC's decoration."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or "no answer in time"


def ended(*errors: BaseException | None, because: str | None) -> Exception:
    """Return a new error that says what ended a connection.

    A task's own error, raised again, would refer to itself through its frames, and the stream in
    them would live until the garbage collector runs.
    """
    error = next(filter(None, errors), None)
    if isinstance(error, Exception):
        return BrokenError(in_words(error)) if isinstance(error, LOSSES) else error
    return BrokenError(because or "ended")
