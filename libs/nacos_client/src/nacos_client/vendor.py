"""The way to a real Nacos; the protocol is loaded when the first session is made."""

import asyncio
import os
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nacos_client.ports import Session
from nacos_client.settings import NacosSettings

if TYPE_CHECKING:
    from nacos_client._sdk.administration import Administration


class Vendor:
    """Makes sessions with a real Nacos; those of one event loop share one login and one memory.

    A client has an event loop of its own, as the clients of other namespaces that it makes have.
    """

    def __init__(self) -> None:
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, Administration] = (
            WeakKeyDictionary()
        )

    def __call__(self, settings: NacosSettings, label: str) -> Session:
        """Make a session that is not started, on the event loop that will use it."""
        # gRPC's own fork handlers can crash or hang the child of a process with live connections;
        # ours refuses politely (`_sdk.rpc.refuse_forked_grpc`).
        os.putenv("GRPC_ENABLE_FORK_SUPPORT", "0")
        # Every failure is in the state and in our log; gRPC would print lines in a form of its own.
        os.putenv("GRPC_VERBOSITY", "NONE")
        from nacos_client._sdk.administration import Administration  # noqa: PLC0415
        from nacos_client._sdk.either import EitherSession  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        if loop not in self._of_loops:
            self._of_loops[loop] = Administration(settings)
        return EitherSession(settings, label, self._of_loops[loop])
