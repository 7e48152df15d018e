"""The README shows code that the tests run."""

import re
from pathlib import Path
from textwrap import indent

import pytest

README = Path(__file__).parents[1] / "README.md"
EXAMPLE = Path(__file__).with_name("iris.py")


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_the_readme_shows_the_example():
    """The service of the README is the example, of which the tests call every route."""
    _, _, body = EXAMPLE.read_text().partition('"""\n\n')

    assert blocks()[0] == body


@pytest.mark.anyio
async def test_the_route_and_page_of_the_readme_work(serve, iris):
    """The second example adds its route and its page, and keeps the others."""
    names = (
        "from dataclasses import replace\n"
        "from iris import Iris\n"
        "from model_service import Parts, Predictor\n"
        "from service_kit import ModelRoutes\n"
    )
    scope: dict[str, type] = {}
    exec(names + blocks()[1], scope)  # noqa: S102 - our own

    async with serve(scope["Iris2"]()) as served:
        species = await served.http.get("/api/v1/species")
        page = await served.http.get("/")
        answer = await served.http.post("/api/v1/predict", json={"inputs": [iris.SETOSA]})

    assert species.json() == ["setosa", "versicolor", "virginica"]
    assert page.text == "<h1>Iris</h1>"
    assert answer.json()["labels"] == ["setosa"]


@pytest.mark.anyio
async def test_the_test_of_the_readme_works(iris):
    """The third example puts the model into service, with a Nacos in memory."""
    names = (
        "import httpx\n"
        "from iris import Iris\n"
        "from model_service import settings_of, started\n"
        "from nacos_client.testing import FakeNacos\n"
    )
    call = """
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return (await client.post("/api/v1/predict", json={"inputs": [row]})).json()
"""
    scope: dict[str, object] = {}
    exec(names + "async def use(row):\n" + indent(blocks()[2], "    ") + call, scope)  # noqa: S102 - our own

    assert (await scope["use"](iris.SETOSA))["labels"] == ["setosa"]
