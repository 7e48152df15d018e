"""The stream of a page: its parts as server-sent events, each sent anew when it changes.

A reader costs a bounded amount. Nothing is queued: a browser that reads slowly gets the newest
parts when it is ready for them, and one that does not read at all is dropped.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.console import page
from gateway.console.markup import Markup
from gateway.console.page import View
from gateway.console.situation import Situation

TICK_SECONDS = 2.0
"""Seconds between two looks at the situation."""
SEND_SECONDS = 10.0
"""Seconds that a browser has to take what is sent."""
ALIVE_TICKS = 8
"""Looks without a change after which a comment shows that the stream is there."""
RECONNECT = b"retry: 2000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class PartStream(StreamingResponse):
    """A response that goes on until the browser, the session or the gateway ends."""

    def __init__(
        self,
        look: Callable[[], Awaitable[Situation]],
        view: View,
        *,
        goes_on: Callable[[], bool],
        ended: Callable[[], None],
        tick_seconds: float = TICK_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        """Prepare a stream.

        Args:
            look: returns the situation.
            view: how the reader looks at it.
            goes_on: whether the reader may see more.
            ended: called at the end.
            tick_seconds: seconds between two looks.
            send_seconds: seconds that the browser has to take what is sent.
        """
        super().__init__((), headers=HEADERS, media_type="text/event-stream")
        self._tick_seconds = tick_seconds
        self._send_seconds = send_seconds
        self._look = look
        self._view = view
        self._goes_on = goes_on
        self._ended = ended
        self._rows: Mapping[str, Markup] = {}
        self._parts: Mapping[str, Markup] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send parts until something ends."""
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await send({"type": "http.response.start", "status": 200,
                        "headers": self.raw_headers})  # fmt: skip
            await self._send(send, RECONNECT)
            still = 0
            while self._goes_on() and not gone.done():
                changed = self.changes(await self._look())
                still = 0 if changed else still + 1
                if changed:
                    await self._send(send, b"event: parts\ndata: %b\n\n" % orjson.dumps(changed))
                elif still % ALIVE_TICKS == 0:
                    await self._send(send, b":\n\n")
                await asyncio.wait({gone}, timeout=self._tick_seconds)
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            pass  # the server closes the connection, for the response is not complete
        finally:
            self._ended()
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    def changes(self, situation: Situation) -> list[tuple[str, str]]:
        """Return the id and the markup of each part that is not as it was sent last."""
        rows = page.rows(situation, self._view)
        parts = page.parts(situation, self._view, rows)
        whole = parts.pop("services")
        changed: list[tuple[str, str]] = []
        if list(rows) != list(self._rows):
            changed.append(("services", whole))
        else:
            changed += [(name, row) for name, row in rows.items() if row != self._rows[name]]
        changed += [(name, part) for name, part in parts.items() if part != self._parts.get(name)]
        self._rows, self._parts = rows, parts
        return changed

    async def _send(self, send: Send, data: bytes) -> None:
        """Send data; TimeoutError if the browser does not take it in time."""
        async with asyncio.timeout(self._send_seconds):
            await send({"type": "http.response.body", "body": data, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    """Return once the browser is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
