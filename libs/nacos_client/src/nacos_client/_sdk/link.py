"""One connection to Nacos that mends itself: connect, set up, listen, beat, and start again.

The server's view decides whether the connection lives: an answer that it is not registered, the end
of the stream, or silence ends the connection here, at once, and the next attempt begins.
"""

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Never

import grpc  # type: ignore[import-untyped]
import grpc.aio  # type: ignore[import-untyped]
from failover import in_brackets

from nacos_client._sdk import wire
from nacos_client._sdk.auth import Credentials
from nacos_client._sdk.rpc import (
    CALL_SECONDS,
    LOSSES,
    STREAM,
    BrokenError,
    Stream,
    ask,
    ended,
    in_words,
    open_channel,
    own,
    refuse_forked_grpc,
)
from nacos_client._sdk.wire import Message
from nacos_client.address import locator
from nacos_client.errors import Denied, NacosError, Refused, Unreachable
from nacos_client.settings import NacosSettings

log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
CLOSE_SECONDS = 0.5
LOCATE_SECONDS = 1.0
"""Seconds that finding the own IP address may take, while a name is resolved."""
ASK_SECONDS = 0.02
"""Seconds between two questions whether the server has registered a connection; it takes some
milliseconds."""
BEAT_SECONDS = 3.0
"""Seconds between two beats: requests by which each side sees that the other is alive."""
SILENT_BEATS = 2
"""Beats in a row without an answer that end a connection."""
RETRY_SECONDS = (0.1, 1.0)
"""Seconds between two attempts, at first and at most; a server that returns is soon found."""
ANSWERS = {
    "NotifySubscriberRequest": "NotifySubscriberResponse",
    "ConfigChangeNotifyRequest": "ConfigChangeNotifyResponse",
    "ClientDetectionRequest": "ClientDetectionResponse",
    "ConnectResetRequest": "ConnectResetResponse",
}
"""The requests of the server that wait for an answer, each with the kind of its answer."""

Handler = Callable[[Message], None]


class Link:
    """The connection; `start` and `close` it on the event loop that uses it.

    Attributes:
        connection: id of the present connection, as the server names it; None while not connected.
        trouble: the reason why there is no connection, or None.
        server: host and HTTP port of the server of the present connection, or None.
        lost_at: monotonic time in seconds at which the last connection was lost; 0 before.
        unanswered: attempts in a row at which nobody answered by gRPC; an answer that the server is
            not ready is an answer.
        longest_pause: seconds between two attempts, at most.
    """

    def __init__(
        self, settings: NacosSettings, label: str, credentials: Credentials, handler: Handler
    ) -> None:
        self.connection: str | None = None
        self.trouble: str | None = "not connected yet"
        self.server: tuple[str, int] | None = None
        self.lost_at = 0.0
        self.unanswered = 0
        self.longest_pause = RETRY_SECONDS[1]
        self._answered = False
        self._settings = settings
        self._label = label
        self._credentials = credentials
        self._tag = wire.tag_of(settings.label_values)
        self._handler = handler
        servers = list(settings.servers)
        random.shuffle(servers)
        self._servers = itertools.cycle(servers)
        self._channel: grpc.aio.Channel | None = None
        self._up = asyncio.Event()
        self._broken = asyncio.Event()
        self._pokes: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to connect.

        Raises:
            NacosError: gRPC ran in the parent of this forked process, where it cannot run again.
        """
        refuse_forked_grpc()
        self._task = asyncio.create_task(self._live(), name=f"link {self._label}")
        self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """End the connection; the server drops what the connection carried."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS)

    def _ended(self, _: asyncio.Task[None]) -> None:
        """Let go of the task: its last traceback holds the stream.

        gRPC keeps a TCP connection, and Nacos what it carries, while a call on it is referenced.
        """
        self._task = None

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Call `poke` whenever `connection` changes; returns a function that ends that."""
        self._pokes.append(poke)
        return lambda: self._pokes.remove(poke)

    async def call(
        self,
        kind: str,
        body: Mapping[str, Any],
        *,
        naming: str | None = None,
        config: str | None = None,
    ) -> Mapping[str, Any]:
        """Ask the server; waits for a connection, and logs in anew once if the token is refused.

        Raises:
            Unreachable: no connection or no answer within three seconds.
            Denied: the server refuses the user.
            Refused: the server answered with another error.
        """
        await self.up()  # where there is no server, nobody is asked for a login either
        headers = await self._credentials.headers(naming=naming, config=config)
        try:
            return await self._exchange(Message(kind, body, headers | self._tag))
        except Denied:
            self._credentials.refused(headers)
            headers = await self._credentials.headers(naming=naming, config=config)
            return await self._exchange(Message(kind, body, headers | self._tag))

    async def up(self) -> grpc.aio.Channel:
        """Wait for a connection.

        Raises:
            Unreachable: there is none within three seconds.
        """
        if self._channel is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CALL_SECONDS):
                    await self._up.wait()
        if self._channel is None:
            raise Unreachable(f"not connected to Nacos: {self.trouble}")
        return self._channel

    async def _exchange(self, message: Message) -> Mapping[str, Any]:
        channel = await self.up()
        try:
            answer = await ask(channel, message)
        except BrokenError as error:
            raise Unreachable(f"{message.kind}: {error}") from error
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._break(in_words(error))
            raise Unreachable(f"{message.kind}: {in_words(error)}") from error
        return self._judged(message.kind, answer.body)

    def _judged(self, kind: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if body.get("resultCode") == wire.OK:
            return body
        code = int(body.get("errorCode") or 0)
        text = f"{kind}: {body.get('message') or 'no reason given'} (code {code})"
        if code == wire.UN_REGISTER:
            self._break("Nacos no longer knows this connection")
            raise Unreachable(text)
        if code == wire.FORBIDDEN:
            raise Denied(text)
        raise Refused(text, code)

    def _break(self, reason: str) -> None:
        self.trouble = reason
        self._broken.set()

    async def _live(self) -> None:
        """Connect, stay connected, and begin again, until cancelled."""
        pause = RETRY_SECONDS[0]
        for host, port in self._servers:
            try:
                await self._visit(host, port)
            except LOSSES as error:
                reason = in_words(error)
            except Exception as error:  # whatever failed, the link must not end
                log.exception("the link to %s:%s failed", host, port)
                reason = repr(error)
            pause = RETRY_SECONDS[0] if self.connection else min(2 * pause, self.longest_pause)
            self._lost(f"{in_brackets(host)}:{port}: {reason}")
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  (jitter)

    async def _visit(self, host: str, port: int) -> Never:
        """Connect to one server and stay connected; raises what ended the connection."""
        self._answered = False
        channel = open_channel(self._settings, host, port)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                stream, connection = await self._set_up(channel)
            self._gained(channel, connection, (host, port))
            await self._stay(channel, stream)
        finally:
            self._channel = None
            await channel.close()

    async def _set_up(self, channel: grpc.aio.Channel) -> tuple[Stream, str]:
        """Introduce this client; returns the stream of pushes and the connection's id."""
        check = (await ask(channel, Message("ServerCheckRequest", {}, {}))).body
        self._answered = True
        if "connectionId" not in check:
            # A server that is still starting answers with an error instead.
            raise BrokenError(f"not ready: {check.get('message') or 'no connection id'}")
        stream: Stream = channel.stream_stream(STREAM)()
        try:
            await self._open(stream)
            if check.get("supportAbilityNegotiation"):
                await self._acknowledged(stream)
            else:
                await self._registered(channel)
        except BaseException:
            stream.cancel()
            raise
        return stream, str(check["connectionId"])

    async def _open(self, stream: Stream) -> None:
        hello = {
            "clientVersion": wire.CLIENT_VERSION,
            "tenant": wire.tenant_of(self._settings.namespace),
            "labels": wire.labels_of(self._settings),
            "abilityTable": {},
        }
        setup = Message("ConnectionSetupRequest", hello, {}, await self._own_ip())
        await own(stream.write(wire.encode(setup)))

    async def _own_ip(self) -> str:
        """Find the IP address by which an operator names this client: the one it announces.

        Returns:
            "" if it is not found in a second, or an interface has no address yet.
        """
        try:
            async with asyncio.timeout(LOCATE_SECONDS):
                return await asyncio.to_thread(locator(self._settings))
        except (NacosError, TimeoutError):
            return ""

    async def _acknowledged(self, stream: Stream) -> None:
        """Wait until the server says that it has registered this connection."""
        while (await self._receive(stream)).kind != "SetupAckRequest":
            pass

    async def _registered(self, channel: grpc.aio.Channel) -> None:
        """Ask until the server knows this connection: before 2.3 it does not say so by itself."""
        question = Message("HealthCheckRequest", {}, {})
        while (  # noqa: ASYNC110  (the event is in the server)
            (await ask(channel, question)).body.get("errorCode") == wire.UN_REGISTER
        ):
            await asyncio.sleep(ASK_SECONDS)

    def _gained(self, channel: grpc.aio.Channel, connection: str, server: tuple[str, int]) -> None:
        host, port = server
        log.info("connected to Nacos %s:%d", in_brackets(host), port, extra={"link": self._label})
        self._broken.clear()
        self._channel, self.connection, self.trouble = channel, connection, None
        self.server = server
        self._up.set()
        self._poke()

    def _lost(self, reason: str) -> None:
        if self.connection is not None or self.trouble is None:
            log.warning("lost Nacos: %s", reason, extra={"link": self._label})
            self.lost_at = time.monotonic()
        self._up.clear()
        self.unanswered = 0 if self._answered else self.unanswered + 1
        self._channel, self.connection, self.trouble = None, None, reason
        self.server = None
        self._poke()

    def _poke(self) -> None:
        for poke in list(self._pokes):
            poke()

    async def _stay(self, channel: grpc.aio.Channel, stream: Stream) -> Never:
        """Take pushes and send beats until the connection is over."""
        tasks = {
            asyncio.create_task(self._take_pushes(stream)),
            asyncio.create_task(self._beat(channel)),
            asyncio.create_task(self._broken.wait()),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            raise ended(*(task.exception() for task in done), because=self.trouble)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            stream.cancel()

    async def _take_pushes(self, stream: Stream) -> None:
        while True:
            message = await self._receive(stream)
            self._handler(message)

    async def _receive(self, stream: Stream) -> Message:
        """Read and acknowledge the next message of the server."""
        data = await own(stream.read())
        if not isinstance(data, bytes):
            raise BrokenError("Nacos ended the stream")
        message = wire.decode(data)
        answer = ANSWERS.get(message.kind)
        if answer is not None:
            body = {
                "resultCode": wire.OK,
                "errorCode": 0,
                "requestId": message.body.get("requestId"),
            }
            await own(stream.write(wire.encode(Message(answer, body, {}))))
        if message.kind == "ConnectResetRequest":
            raise BrokenError("Nacos asked for a connection to another server")
        return message

    async def _beat(self, channel: grpc.aio.Channel) -> None:
        silent = 0
        while silent < SILENT_BEATS:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                body = (await ask(channel, Message("HealthCheckRequest", {}, {}))).body
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise
                silent += 1
            else:
                silent = 0
                if body.get("errorCode") == wire.UN_REGISTER:
                    raise BrokenError("Nacos no longer knows this connection")
        raise BrokenError(f"no answer to {silent} beats")
