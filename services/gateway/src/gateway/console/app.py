"""The console's addresses on the admin port, and who may use them.

With a GATEWAY_ADMIN_TOKEN, everything but the form that asks for it needs a session, which begins
with the token. Without one, which the settings allow on loopback alone, the console shows and does
nothing. What changes something is a POST with the Origin of the console's own page.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from nacos_client import InstanceTls
from service_kit import HealthChecks, Problem

from gateway.console import page
from gateway.console.lookout import Lookout
from gateway.console.model_watch import ModelWatch
from gateway.console.page import Asked, View
from gateway.console.recorder import Recorder
from gateway.console.sessions import COOKIE, SECONDS, Sessions
from gateway.console.stream import PartStream
from gateway.console.words import LANGUAGES, Words, preferred
from gateway.control.admin import Workers
from gateway.control.order_desk import (
    COMMANDS,
    CarriedOut,
    Instruction,
    OrderDesk,
    is_own_origin,
)
from gateway.telemetry.metrics import WorkerState

MAX_FORM_BYTES = 64 * 1024
MAX_STREAMS = 16
"""Pages that are updated at a time; a further one is told to come back."""
UP = "../"
"""The way to the console's root from the addresses below it."""
LANGUAGE = "gateway_language"
"""The cookie with the language that a reader has chosen."""
YEAR_SECONDS = 365 * 24 * 3600
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: with that, browsers send `Origin: null` along with forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
FILES = {"console.css": "text/css", "console.js": "text/javascript", "docs.js": "text/javascript"}

_log = logging.getLogger(__name__)


class Console:
    """The console of one gateway. A `Listener` of the process runner, which ends its streams."""

    def __init__(
        self,
        workers: Workers,
        health: HealthChecks,
        orders: OrderDesk,
        states: Callable[[], Iterable[WorkerState]],
        *,
        build: str,
        token: str | None,
        tls: InstanceTls | None = None,
    ) -> None:
        """Record nothing yet.

        Args:
            workers: the data paths.
            health: what /readyz tells.
            orders: carries orders out.
            states: the workers' counters, and those of the workers that ended.
            build: version and form of the gateway, for the reader.
            token: the admin token, None if there is none.
            tls: the trust in instances that listen for TLS.
        """
        self.recorder = Recorder(states)
        self.streams = 0
        self._orders = orders
        self._build = build
        self._sessions = Sessions(token, time.monotonic)
        self._models = ModelWatch(tls)
        self._lookout = Lookout(workers, health, self.recorder, self._models)
        self._recording: asyncio.Task[None] | None = None
        self._draining = False
        orders.tell(self.recorder.note_order)

    async def open(self) -> None:
        """Begin to record."""
        self._recording = asyncio.create_task(self.recorder.run(), name="console recorder")

    def leave(self) -> None:
        """Show the end of the gateway to those who look."""

    async def drain(self) -> None:
        """End the streams, which would keep the process from ending."""
        self._draining = True

    async def close(self) -> None:
        """Stop recording, and ask no instance any more."""
        await self._models.close()
        if self._recording is not None:
            self._recording.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recording

    def add_to(self, app: FastAPI) -> None:
        """Serve the console's addresses."""
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/", self._page, methods=["GET"])
        router.add_api_route("/console/events", self._events, methods=["GET"])
        for name in ("console.css", "console.js"):
            router.add_api_route(f"/console/{name}", file_of(name), methods=["GET"])
        for path, answer in (
            ("sign-in", self._sign_in),
            ("sign-out", self._sign_out),
            ("order", self._order),
            ("where", self._where),
        ):
            router.add_api_route(f"/console/{path}", answer, methods=["POST"])
        app.include_router(router)

    async def _page(self, request: Request) -> Response:
        view = self.view(request)
        if not self.may_read(request):
            answer: Response = HTMLResponse(page.sign_in(view), 200, HEADERS)
        else:
            answer = HTMLResponse(
                page.whole(await self._lookout.look(view.service), view), headers=HEADERS
            )
        return keeping_language(request, answer)

    async def _events(self, request: Request) -> Response:
        cookie = request.cookies.get(COOKIE, "")
        if not self._sessions.may_read(cookie):
            raise Problem(401, "The console wants the admin token.")
        if self._draining or self.streams >= MAX_STREAMS:
            raise Problem(503, "Too many pages are open, or the gateway is about to end.",
                          headers={"Retry-After": "5"})  # fmt: skip
        view = self.view(request, root=UP if "up" in request.query_params else "")
        self.streams += 1
        return PartStream(
            lambda: self._lookout.look(view.service),
            view,
            goes_on=lambda: not self._draining and self._sessions.may_read(cookie),
            ended=self._stream_ended,
        )

    def _stream_ended(self) -> None:
        self.streams -= 1

    async def _sign_in(self, request: Request) -> Response:
        _check_origin(request)
        form = await _form(request)
        cookie = self._sessions.begin(form.get("token", ""))
        if cookie is None:
            _log.warning("console_token_refused", extra={"client": _client(request)})
            view = self.view(request, root=UP, notice="wrong_token")
            return HTMLResponse(page.sign_in(view), 401, HEADERS)
        answer = RedirectResponse("../", 303, HEADERS)
        answer.set_cookie(COOKIE, cookie, SECONDS, samesite="strict", httponly=True,
                          secure=request.url.scheme == "https")  # fmt: skip
        return answer

    async def _sign_out(self, request: Request) -> Response:
        _check_origin(request)
        self._sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("../", 303, HEADERS)
        answer.delete_cookie(COOKIE)
        return answer

    async def _order(self, request: Request) -> Response:
        """Carry out an order that its reader has confirmed."""
        _check_origin(request)
        if not self.may_act(request):
            raise Problem(401, "Orders want the admin token: sign in first.")
        form = await _form(request)
        order = Instruction(form.get("do", ""), form.get("of", ""), form.get("instance", ""))
        if order.do not in COMMANDS:
            raise Problem(422, f"do is one of {', '.join(COMMANDS)}.")
        done = await self._orders.carry_out(order, _client(request))
        self._lookout.forget()
        told = {
            "service": form.get("service", ""),
            "find": form.get("find", ""),
            "notice": _notice(done),
        }
        query = urlencode({name: value for name, value in told.items() if value})
        return RedirectResponse(f"../?{query}", 303, HEADERS)

    async def _where(self, request: Request) -> Response:
        """Answer where a request would go; nothing is sent or changed."""
        _check_origin(request)
        if not self.may_read(request):
            raise Problem(401, "The console wants the admin token.")
        form = await _form(request)
        fields = [
            (name.strip(), value.strip())
            for name, _, value in (line.partition(":") for line in form["fields"].splitlines())
            if name.strip()
        ] if form.get("fields") else []  # fmt: skip
        method, target = form.get("method", "GET"), form.get("target", "/")
        answer = await self._lookout.explain(method, target, fields)
        if answer is None:
            raise Problem(503, "No worker answers; see /readyz.")
        # Browsers send a form's line ends as CR LF, and a CR is shown as the stranger it is.
        asked = Asked(method, target, "\n".join(form.get("fields", "").splitlines()), answer)
        view = self.view(request, root=UP, asked=asked)
        return HTMLResponse(page.whole(await self._lookout.look(), view), headers=HEADERS)

    def may_read(self, request: Request) -> bool:
        """Return whether the sender of a request may see anything."""
        return self._sessions.may_read(request.cookies.get(COOKIE, ""))

    def may_act(self, request: Request) -> bool:
        """Return whether the sender of a request has shown the token."""
        return self._sessions.may_act(request.cookies.get(COOKIE, ""))

    def view(
        self, request: Request, *, root: str = "", notice: str = "", asked: Asked | None = None
    ) -> View:
        """Return how the sender of a request looks at the gateway."""
        query, words = request.query_params, words_for(request)
        may_act = self.may_act(request)
        notice = notice or query.get("notice", "")
        told = {
            "done": words.done,
            "done_here": words.done_here,
            "nothing_to_do": words.nothing_to_do,
            "wrong_token": words.wrong_token,
        }
        order = None
        if may_act and query.get("do") in COMMANDS:
            order = Instruction(query["do"], query.get("of", ""), query.get("instance", ""))
        return View(
            words,
            self._build,
            root,
            service=query.get("service", "")[:200],
            find=query.get("find", "")[:100],
            may_act=may_act,
            has_token=self._sessions.has_token,
            order=order,
            notice=told.get(notice, ""),
            asked=asked or Asked(),
        )


def words_for(request: Request) -> Words:
    """Return the words of the language that a reader has chosen, or whose browser wants it."""
    chosen = request.query_params.get("lang") or request.cookies.get(LANGUAGE, "")
    if chosen not in LANGUAGES:
        chosen = preferred(request.headers.get("accept-language", ""))
    return LANGUAGES[chosen]


def keeping_language(request: Request, answer: Response) -> Response:
    """Return an answer by which the browser keeps the language that its reader chooses, if any."""
    if (chosen := request.query_params.get("lang", "")) in LANGUAGES:
        answer.set_cookie(LANGUAGE, chosen, YEAR_SECONDS, samesite="strict", httponly=True)
    return answer


def _notice(done: CarriedOut | None) -> str:
    """Return the word for what became of an order."""
    if done is None:
        return "nothing_to_do"
    return "done" if done.gateways == "all" else "done_here"


def file_of(name: str) -> Callable[[], Any]:
    """Return the handler of one of the console's files."""
    content = files("gateway.console").joinpath(name).read_bytes()
    kept = {**HEADERS, "Cache-Control": "no-cache"}

    async def answer() -> Response:
        return Response(content, media_type=FILES[name], headers=kept)

    return answer


def _check_origin(request: Request) -> None:
    """Refuse what another page sends, and what no page has sent.

    Raises:
        Problem: 403.
    """
    if not is_own_origin(request.headers.get("origin", ""), request.headers.get("host", "")):
        raise Problem(403, "This is for the console's own page: Origin names another, or none.")


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


async def _form(request: Request) -> dict[str, str]:
    """Read a form; the last value of each name counts.

    Raises:
        Problem: it is too large, or is no form.
    """
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > MAX_FORM_BYTES:
            raise Problem(413, f"A form has at most {MAX_FORM_BYTES} bytes.")
    try:
        values = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError as error:
        raise Problem(400, f"The form cannot be read: {error}.") from error
    return {name: told[-1] for name, told in values.items()}
