"""A service's API documentation: Swagger UI, served by the service itself under any path prefix.

FastAPI's own page loads Swagger UI from a public host and the OpenAPI document from an absolute
path, so the page is empty without internet and behind a gateway that strips a prefix. Here every
address is relative to the page, and "Try it out" calls the server that the page came from.
"""

from html import escape

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

from service_kit.page import protection

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<main id="docs" data-openapi="{openapi}"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
const place = new URL(".", location.href);
const docs = document.getElementById("docs");
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
    page = _PAGE.format(title=escape(app.title), openapi=escape(openapi))
    headers = protection(page, styles="'self'", scripts="'self'")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page, headers=headers)

    app.mount("/docs", StaticFiles(packages=[("fastapi_offline", "static")]))
