"""A service's API documentation: Swagger UI, served by the service itself under any path prefix.

Programs that collect such descriptions, as the gateway does for its page of all APIs, look for one
at `/openapi.json`; a service whose description is elsewhere has it there too.

FastAPI's own page loads Swagger UI from a public host and the OpenAPI document from an absolute
path, so the page is empty without internet and behind a gateway that strips a prefix. Here every
address is relative to the page, whether that was asked for as `/docs` or as `/docs/`, and "Try it
out" calls the server that the page came from.
"""

from functools import partial
from html import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from service_kit.page import protection

USUAL_PATH = "/openapi.json"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{files}swagger-ui.css">
<main id="docs" data-place="{place}" data-openapi="{openapi}"></main>
<script src="{files}swagger-ui-bundle.js"></script>
<script>
const docs = document.getElementById("docs");
const place = new URL(docs.dataset.place, location.href);
const show = (spec) => SwaggerUIBundle({{
  domNode: docs,
  spec: {{ ...spec, servers: [{{ url: place.pathname.replace(/\\/$/, "") || "/" }}] }},
  deepLinking: true,
  validatorUrl: null,
}});
fetch(new URL(docs.dataset.openapi, place))
  .then((answer) => answer.json())
  .then(show, (reason) => {{ docs.textContent = `The description cannot be read: ${{reason}}`; }});
</script>
</html>
"""


def add_docs(app: FastAPI) -> None:
    """Serve `/docs` for an application made with `docs_url=None, redoc_url=None`.

    Raises:
        ValueError: the application has no OpenAPI description, or a page of its own at /docs.
    """
    if app.openapi_url is None or app.docs_url is not None:
        raise ValueError("add_docs needs an application with openapi_url and without docs_url.")
    openapi = app.openapi_url.removeprefix("/")
    fill = partial(_PAGE.format, title=escape(app.title), openapi=escape(openapi))
    page, page_as_folder = fill(place=".", files="docs/"), fill(place="..", files="./")
    headers = protection(page, styles="'self'", scripts="'self'")

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        is_folder = request.scope["raw_path"].endswith(b"/")
        return HTMLResponse(page_as_folder if is_folder else page, headers=headers)

    if app.openapi_url != USUAL_PATH:

        @app.get(USUAL_PATH, include_in_schema=False)
        async def description() -> Response:
            return JSONResponse(app.openapi())

    app.mount("/docs", StaticFiles(packages=[("fastapi_offline", "static")]))
