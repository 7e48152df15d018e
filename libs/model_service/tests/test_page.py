"""The form of a model of rows, whatever its author calls things."""

from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Annotated, Any, ClassVar, Literal

import pytest
from model_service import Out, RowModel, Rows
from pydantic import BaseModel, Field

pytestmark = pytest.mark.anyio
ODD = """<b>&"' {{version}}"""


class Odd(RowModel):  # noqa: D101 - it has one
    __doc__ = ODD
    title = ODD
    name, version, port = "odd", "1.0.0", 8005

    class Row(BaseModel):
        """Fields with names and values that are markup elsewhere."""

        length: Annotated[float, Field(alias="length (cm) {{x}}", description=ODD, ge=1)]
        word: Literal['<i>"', "{{title}}"] = "{{title}}"
        text: Annotated[str, Field(examples=['"> {{lead}}'])]

    outputs: ClassVar[Mapping[str, Out]] = {"double": Out("FP64")}

    def predict(self, rows: Rows[Any], config: Any) -> Mapping[str, Any]:  # noqa: ARG002
        """Double the length."""
        return {"double": [2 * row.length for row in rows]}


class Form(HTMLParser):
    """The elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data

    def named(self) -> dict[str | None, tuple[str, str | None]]:
        """Return the tag and the value of each element with a name, of the form."""
        return {
            attrs["name"]: (tag, attrs.get("value"))
            for tag, attrs in self.found
            if "name" in attrs and tag in {"input", "select"}
        }


async def test_names_and_texts_are_shown_as_they_are(serve):
    """Markup and braces in texts, names and values are neither markup nor filled in."""
    async with serve(Odd()) as served:
        page = Form((await served.http.get("/")).text)
        row = {"length (cm) {{x}}": 3, "word": '<i>"', "text": ""}
        answer = await served.http.post("/api/v1/predict", json={"inputs": [row]})
        metadata = (await served.http.get("/v2/models/odd")).json()

    assert page.named() == {
        "length (cm) {{x}}": ("input", "2"),
        "word": ("select", None),
        "text": ("input", '"> {{lead}}'),
    }
    assert [attrs["value"] for tag, attrs in page.found if tag == "option"] == [
        '"<i>\\""',
        '"{{title}}"',
    ]
    assert page.text.count(ODD) == 4  # title, heading, lead, label
    assert answer.json()["double"] == [6.0]
    assert [one["name"] for one in metadata["inputs"]] == list(row)
