"""The way to a real Nacos; the protocol is loaded when the first session is made."""

import os
from typing import TYPE_CHECKING

from nacos_client.ports import Session
from nacos_client.settings import NacosSettings

if TYPE_CHECKING:
    from nacos_client._sdk.administration import Administration


class Vendor:
    """Makes sessions with a real Nacos for one client; all share one login and one memory."""

    def __init__(self) -> None:
        self._administration: Administration | None = None

    def __call__(self, settings: NacosSettings, label: str) -> Session:
        """Make a session that is not started."""
        # gRPC's own fork handlers can crash or hang the child of a process with live connections;
        # ours refuses politely (`_sdk.rpc.refuse_forked_grpc`).
        os.putenv("GRPC_ENABLE_FORK_SUPPORT", "0")
        # Every failure is in the state and in our log; gRPC would print lines in a form of its own.
        os.putenv("GRPC_VERBOSITY", "NONE")
        from nacos_client._sdk.administration import Administration  # noqa: PLC0415
        from nacos_client._sdk.either import EitherSession  # noqa: PLC0415

        if self._administration is None:
            self._administration = Administration(settings)
        return EitherSession(settings, label, self._administration)
