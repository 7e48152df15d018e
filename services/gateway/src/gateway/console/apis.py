"""The addresses of the page of all APIs, below `/docs` of the admin port or of the data port.

At the admin port it is the operator's: whoever may read the console may read it, and what is tried
out wants the admin token and goes through the gateway by `tryout.py`. At the data port, if it is
switched on, it is for everybody who reaches that, and what is tried out goes there directly.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

from failover import in_brackets
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from service_kit import Problem

from gateway.console import page
from gateway.console.api_documents import Api, ApiDocuments, in_pieces
from gateway.console.apis_page import Apis, ApisView, apis_page, listed
from gateway.console.app import HEADERS, Console, file_of, keeping_language, words_for
from gateway.console.fetching import Place
from gateway.console.lookout import FRESH_SECONDS
from gateway.console.page import View
from gateway.console.tryout import TryOut
from gateway.control.admin import Workers

LOOK_SECONDS = 2.0
"""Seconds that a page waits for documents; those that come later are there when it is reloaded."""
TRY = "/docs/try"
OPEN_DOCS = "/open/docs"
"""The path of the admin port at which the data port's `/docs` is made, if it is switched on."""
METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH")
DOCS_HEADERS = {
    **HEADERS,
    # Swagger UI shows pictures that a service answers; a picture runs nothing.
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace(
        "img-src data:", "img-src 'self' data: blob:"
    ),
    # A page that this one has opened, or that has opened this one, has no hold of it.
    "Cross-Origin-Opener-Policy": "same-origin",
}


class ApiPages:
    """The page of all APIs."""

    def __init__(
        self,
        workers: Workers,
        documents: ApiDocuments,
        *,
        console: Console | None = None,
        tryout: TryOut | None = None,
    ) -> None:
        """Take whom to ask, and whose page it is.

        Args:
            workers: the data paths.
            documents: of the services.
            console: says who may do what; None: everybody may read, and try out directly.
            tryout: sends to the data port what is tried out elsewhere; None: the page is there.
        """
        self._workers = workers
        self._documents = documents
        self._console = console
        self._tryout = tryout
        self._told: dict[str, Any] = {}
        self._told_at = float("-inf")
        self._turn = asyncio.Lock()

    def add_to(self, app: FastAPI, docs: str) -> None:
        """Serve the addresses below the path `docs`."""
        router = APIRouter(prefix=docs, include_in_schema=False)
        router.add_api_route("", self._page, methods=["GET"])
        router.add_api_route("/", _without_slash, methods=["GET"])
        router.add_api_route("/openapi.json", self._document, methods=["GET"])
        for name in ("console.css", "docs.js"):
            router.add_api_route(f"/{name}", file_of(name), methods=["GET"])
        if self._tryout is not None:
            router.add_api_route("/try/{target:path}", self._try, methods=list(METHODS))
        app.include_router(router)
        app.mount(docs, StaticFiles(packages=[("fastapi_offline", "static")]))

    async def _page(self, request: Request) -> Response:
        shown = self._shown(request)
        if not self._may_read(request):
            return HTMLResponse(page.sign_in(shown.view), headers=HEADERS)
        told = await self._services()
        name, find = shown.view.service, shown.view.find
        chosen = [] if shown.own else [name] if name else listed(list(told), find)
        apis = await self._apis(told, chosen)
        answer = HTMLResponse(apis_page(apis, shown), headers=DOCS_HEADERS)
        return keeping_language(request, answer)

    async def _document(self, request: Request) -> Response:
        """Answer the document of one service, with the gateway's prefixes as its servers."""
        if not self._may_read(request):
            raise Problem(401, "The page of APIs wants the admin token.")
        name = request.query_params.get("service", "")
        told = await self._services()
        apis = await self._apis(told, [name])
        found = apis.found.get(name)
        if not isinstance(found, Api):
            raise Problem(404, f"No document of {name[:100]} is known: see /docs.")
        base, prefixes = self._gateway(request), apis.prefixes[name]
        servers = [base + one["path"] for one in prefixes]
        return StreamingResponse(
            in_pieces(*found.with_servers(servers)), media_type="application/json", headers=HEADERS
        )

    async def _try(self, request: Request) -> Response:
        if self._tryout is None or self._console is None or not self._console.may_act(request):
            raise Problem(401, "What is tried out wants the admin token: sign in first.")
        path = request.scope["raw_path"].removeprefix(TRY.encode())
        query = request.scope["query_string"]
        return await self._tryout.send(request, path + (b"?" + query if query else b""))

    async def _services(self) -> dict[str, Any]:
        """Return what the workers tell of the services; all readers share an answer a second."""
        async with self._turn:
            if time.monotonic() >= self._told_at + FRESH_SECONDS:
                told = _first_with_instance(await self._workers.ask({"do": "documented"}))
                self._told = told or self._told  # workers that begin anew know nothing yet
                self._told_at = time.monotonic()
        return self._told

    async def _apis(self, told: dict[str, Any], wanted: list[str]) -> Apis:
        places = {name: _place(one) for name, one in told.items()}
        found = await self._documents.look(places, wanted, LOOK_SECONDS)
        return Apis(found, {name: one["prefixes"] for name, one in told.items()})

    def _may_read(self, request: Request) -> bool:
        return self._console is None or self._console.may_read(request)

    def _gateway(self, request: Request) -> str:
        """Return scheme, host and port of the data port for the reader; "" for the page's own."""
        if self._tryout is None:
            return ""
        place, host = self._tryout.place, in_brackets(request.url.hostname or "")
        return f"{place.scheme}://{host}:{place.port}"

    def _shown(self, request: Request) -> ApisView:
        query = request.query_params
        if self._console is None:
            view = View(
                words_for(request),
                service=query.get("service", "")[:200],
                find=query.get("find", "")[:100],
            )
            return ApisView(view, may_try=True)
        return ApisView(
            self._console.view(request),
            is_console=True,
            own=query.get("own") == "1",
            gateway=self._gateway(request),
            through=TRY.removeprefix("/"),
            may_try=self._console.may_act(request),
        )


def _first_with_instance(views: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return of each service what the first worker tells that knows an instance in traffic."""
    told: dict[str, Any] = {}
    for view in views:
        for name, one in view.items():
            if name not in told or told[name]["asked"] is None:
                told[name] = one
    return told


def _place(told: dict[str, Any]) -> Place | None:
    if told["asked"] is None:
        return None
    return Place(**told["asked"], keyed=any(one["keyed"] for one in told["prefixes"]))


async def _without_slash() -> Response:
    return RedirectResponse("../docs", 308, HEADERS)
