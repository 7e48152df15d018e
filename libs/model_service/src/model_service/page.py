"""The welcome pages of model services: what they share, and the form of a model of rows."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any


def welcome_page(package: str, title: str, name: str, openapi: str = "openapi.json") -> str:
    """Return the welcome page that the file `page.html` of a package is the inner part of.

    The file has a `style` element, then what stands above the links, then a `script` element.

    Args:
        package: the package that has the file.
        title: title of the page.
        name: name of the model in V2.
        openapi: path of the OpenAPI document, from the page.
    """
    inner = files(package).joinpath("page.html").read_text("utf-8")
    return _page(inner, title, name, openapi)


def form_page(
    title: str,
    text: str,
    *,
    path: str,
    name: str,
    fields: Mapping[str, Mapping[str, Any]],
    row: Mapping[str, Any],
) -> str:
    """Return the welcome page of a model of rows: a form with an input for each field.

    Args:
        title: the model's title.
        text: what the model does; the first paragraph is shown.
        path: path of the route that answers rows.
        name: name of the model in V2.
        fields: JSON schema of each field.
        row: the row that the form has at first.
    """
    inputs = "\n".join(_input(name, schema, row.get(name)) for name, schema in fields.items())
    inner = _filled(
        files("model_service").joinpath("form.html").read_text("utf-8"),
        title=_escaped(title),
        lead=_escaped(text.partition("\n\n")[0]),
        path=_escaped(path.removeprefix("/")),
        inputs=inputs,
    )
    return _page(inner, title, name, "openapi.json")


def _page(inner: str, title: str, name: str, openapi: str) -> str:
    style, end, rest = inner.partition("</style>")
    body, start, script = rest.partition("<script>")
    return _filled(
        files("model_service").joinpath("page.html").read_text("utf-8"),
        title=_escaped(title),
        style=style + end,
        body=body.strip(),
        openapi=_escaped(openapi),
        name=_escaped(name),
        script=(start + script).strip(),
    )


def _filled(html: str, **parts: str) -> str:
    """Return HTML with each part in place of its name in double braces."""
    for name, part in parts.items():
        html = html.replace("{{" + name + "}}", part)
    return html


def _input(name: str, schema: Mapping[str, Any], value: Any) -> str:
    found = next((way for way in schema.get("anyOf", ()) if way.get("type") != "null"), schema)
    label = _escaped(schema.get("description") or name.replace("_", " "))
    kind = found.get("type", "string")
    if "enum" in found or kind == "boolean":
        values = found.get("enum", [False, True])
        options = "".join(_option(each, is_chosen=each == value) for each in values)
        return f"<label>{label} <select {_named(name, 'json')}>{options}</select></label>"
    if kind in {"integer", "number"}:
        bounds = {
            "step": 1 if kind == "integer" else "any",
            "min": found.get("minimum"),
            "max": found.get("maximum"),
            "value": value,
        }
        told = "".join(f' {key}="{at}"' for key, at in bounds.items() if at is not None)
        return f'<label>{label} <input {_named(name, "json")} type="number"{told}></label>'
    text = value if kind == "string" else json.dumps(value)
    kind = "string" if kind == "string" else "json"
    return f'<label>{label} <input {_named(name, kind)} value="{_escaped(str(text))}"></label>'


def _named(name: str, kind: str) -> str:
    """Return the attributes from which the page's script makes a member of the row."""
    return f'name="{_escaped(name)}" data-type="{kind}"'


def _option(value: Any, *, is_chosen: bool) -> str:
    chosen = " selected" if is_chosen else ""
    return f'<option value="{_escaped(json.dumps(value))}"{chosen}>{_escaped(str(value))}</option>'


def _escaped(text: str) -> str:
    """Return text for markup, also without the braces that stand for a value."""
    return escape(text).replace("{", "&#123;")
