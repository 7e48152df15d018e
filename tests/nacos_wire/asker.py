"""Questions as they are on the wire, by HTTP and by gRPC, to a server of any version."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from nacos_client import NacosSettings
from nacos_client._sdk import http, rpc
from nacos_client._sdk.wire import LABELS, Message, decode, encode
from nacos_client.settings import TAG
from stack.access import NacosAccess

SETTLING_SECONDS = 8.0
"""Seconds for a real server to show what was written."""
NOTED = ("content-md5", "config-type")
"""The headers of an answer that are compared, by their names in lower case."""
PATIENT = {"Long-Pulling-Timeout": "10000"}
AT_ONCE = {**PATIENT, "Long-Pulling-Timeout-No-Hangup": "true"}
"""The headers of a long poll that waits, and of one that does not; others pay no heed to them."""
HELLO = {
    "clientVersion": "Nacos-Python-Client:v3.2.0",
    "tenant": "",
    "abilityTable": {},
}

Test = Callable[[Any], bool]


class Asker:
    """Somebody who puts questions to a server and notes its answers.

    Attributes:
        answers: each question, in words, and what was answered.
        dialect: of the server's HTTP API.
        login: the user and the password that the server takes.
        settings: lead to the server.
    """

    def __init__(self, access: NacosAccess) -> None:
        self.answers: list[tuple[str, Any]] = []
        self.login = {"username": access.username, "password": access.password}
        self.settings = NacosSettings(server_addr=access.server_addr)
        with access.operator() as operator:
            self._token, self.dialect = operator.http.headers["accessToken"], operator.dialect
        self._headers = {
            "the token": {"accessToken": self._token},
            "bearer": {"Authorization": f"Bearer {self._token}"},
            "the tag": {"accessToken": self._token, TAG: "blue"},
            "nobody": {},
        }

    async def http(
        self,
        method: str,
        path: str,
        *,
        by: str = "the token",
        patient: bool = False,
        until: Test | None = None,
        shown: Callable[[Any], Any] = lambda body: body,
        ips: str = "",
        **form: Any,
    ) -> Any:
        """Ask over HTTP, again and again until the answer's body passes a test.

        Args:
            method: of HTTP.
            path: below the context path.
            by: whom the token says the question is from, and in which header; or nobody.
            patient: whether a long poll waits for a change, at most three seconds.
            until: the test.
            shown: returns what is compared of a body.
            ips: the clients of a beta.
            form: in the body, or in the query.

        Returns:
            the answer's `status` and `body`, and the headers that say what a document is.
        """
        target, body = path, form
        if method in {"GET", "DELETE"}:
            target, body = f"{path}?{urlencode(form)}", {}
        headers = {**self._headers[by], **(PATIENT if patient else AT_ONCE)}
        if ips:
            headers["betaIps"] = ips

        async def ask() -> tuple[Any, Any]:
            [server] = self.settings.servers
            answer = await http.send(
                self.settings, server, method, target, form=body, headers=headers
            )
            told = read(answer.body)
            noted = {name: answer.headers[name] for name in NOTED if name in answer.headers}
            return {"status": answer.status, "body": shown(told), **noted}, told

        return await self._note(f"{method} {path} by {by}", ask, until)

    async def _note(self, question: str, ask: Callable[[], Any], until: Test | None) -> Any:
        async with asyncio.timeout(SETTLING_SECONDS):
            noted, body = await ask()
            while until is not None and not until(body):
                await asyncio.sleep(0.05)
                noted, body = await ask()
        self.answers.append((question, noted))
        return noted

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """Connect by gRPC; the server does not know the connection before its `set_up`."""
        [(host, port)], before = self.settings.servers, asyncio.all_tasks()
        channel = rpc.open_channel(self.settings, host, port)
        stream = channel.stream_stream(rpc.STREAM)()
        try:
            yield Connection(self, channel, stream)
        finally:
            stream.cancel()
            await channel.close()
            # What gRPC hears of a call whose event loop is closed is an error in another loop.
            if rest := asyncio.all_tasks() - before - {asyncio.current_task()}:
                await asyncio.wait(rest, timeout=SETTLING_SECONDS)

    async def grpc(
        self, channel: Any, kind: str, by: str, until: Test | None, body: Mapping[str, Any]
    ) -> Any:
        """Ask by gRPC; returns the answer's `kind` and the fields of its body."""

        async def ask() -> tuple[Any, Any]:
            answer = await rpc.ask(channel, Message(kind, body, self._headers[by]))
            return {"kind": answer.kind, **answer.body}, answer.body

        return await self._note(f"{kind} by {by}", ask, until)


class Connection:
    """A connection by gRPC."""

    def __init__(self, asker: Asker, channel: Any, stream: Any) -> None:
        self._asker = asker
        self._channel = channel
        self._stream = stream

    async def ask(
        self, kind: str, *, by: str = "the token", until: Test | None = None, **body: Any
    ) -> Any:
        """Ask, again and again until the answer passes a test; returns kind and fields."""
        return await self._asker.grpc(self._channel, kind, by, until, body)

    async def set_up(self, ip: str = "", **labels: str) -> None:
        """Introduce a client, and wait until the server has registered the connection."""
        hello = {**HELLO, "labels": {**LABELS, **labels}}
        await self._stream.write(encode(Message("ConnectionSetupRequest", hello, {}, ip)))
        await self.ask("HealthCheckRequest", until=lambda answer: answer["success"])

    async def pushed(self, kind: str, until: Test = lambda _: True) -> None:
        """Wait for a push, and acknowledge it."""
        async with asyncio.timeout(SETTLING_SECONDS):
            while True:
                message = decode(await self._stream.read())
                answer = {"resultCode": 200, "requestId": message.body.get("requestId")}
                kind_of_answer = message.kind.replace("Request", "Response")
                await self._stream.write(encode(Message(kind_of_answer, answer, {})))
                if message.kind == kind and until(message.body):
                    break
        self._asker.answers.append((f"pushed {kind}", dict(message.body)))


def read(body: bytes) -> Any:
    """Return JSON, or else the text."""
    try:
        return json.loads(body)
    except ValueError:
        return body.decode()
