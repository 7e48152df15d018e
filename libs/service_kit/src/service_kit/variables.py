"""The variables of a process, in words: name, type, default and meaning, as its settings say them.

A field of a settings class is a variable: its `validation_alias` is the variable's name, and the
text below the field is the meaning. The same words make `--help`, the warning about a variable that
nobody reads, and docs/environment.md.
"""

import ast
import difflib
import inspect
import itertools
import re
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

PREFIXES = ("NACOS_", "GATEWAY_")
"""The beginnings of names that mean one of our processes, so that an unknown one is a mistake."""
OF_KUBERNETES = re.compile(
    r"_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$"
)
"""The names by which Kubernetes tells every pod the services of its namespace: a service `nacos`
gives `NACOS_SERVICE_HOST`, `NACOS_PORT` and `NACOS_PORT_8848_TCP` (its documentation, "Service",
"Environment variables")."""
KINDS: Mapping[object, str] = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    Path: "path",
    SecretStr: "secret text",
    tuple: "list with commas between",
}
"""The plain word for each type; anything else is text."""
BOUNDS = (
    ("ge", "from {}"),
    ("gt", "above {}"),
    ("le", "up to {}"),
    ("lt", "below {}"),
    ("min_length", "of {} characters or more"),
    ("max_length", "of at most {} characters"),
)
"""The limits that pydantic's metadata can have, in words, in the order in which they are said."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment; type, default and meaning are in plain words."""

    name: str
    kind: str
    default: str
    meaning: str


def variables(*models: type[BaseModel]) -> tuple[Variable, ...]:
    """List the variables of settings classes, in their order; the first of one name counts."""
    found: dict[str, Variable] = {}
    for model in models:
        for one in _variables(model, model.model_fields):
            found.setdefault(one.name, one)
    return tuple(found.values())


def own_variables(model: type[BaseModel]) -> tuple[Variable, ...]:
    """List the variables that a settings class adds to its base, or declares anew."""
    return tuple(_variables(model, inspect.get_annotations(model)))


def unknown(environ: Mapping[str, str], known: Collection[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each variable that is meant for a process like this and that it does not read.

    Args:
        environ: the environment of the process.
        known: the names of the variables that it reads.

    Yields:
        The name, and the known name that is nearest to it; None where none is near.
    """
    ours = tuple(each for each in PREFIXES if any(name.startswith(each) for name in known))
    for name in sorted(environ):
        if name in known or not name.startswith(ours) or _is_of_kubernetes(name, environ[name]):
            continue
        near = difflib.get_close_matches(name, known, n=1)
        yield name, near[0] if near else None


def _is_of_kubernetes(name: str, value: str) -> bool:
    found = OF_KUBERNETES.search(name)
    return found is not None and (found[0] != "_PORT" or "://" in value)


def _variables(model: type[BaseModel], names: Collection[str]) -> Iterator[Variable]:
    said = [_docstrings(each) for each in model.__mro__ if _has_fields(each)]
    for name in names:
        if name in model.model_fields:
            field = model.model_fields[name]
            meaning = next((texts[name] for texts in said if name in texts), "")
            yield Variable(str(field.validation_alias), _kind(field), _default(field), meaning)


def _has_fields(model: type) -> bool:
    return issubclass(model, BaseModel) and model is not BaseModel


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Read the text below each field from the source of its class.

    pydantic can do that whenever a class is made (`use_attribute_docstrings`), at each start of a
    process; here it is done for the person who asks.
    """
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    found: dict[str, str] = {}
    for field, text in itertools.pairwise(body):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(said))),
            ):
                found[name] = " ".join(said.split())
    return found


def _kind(field: FieldInfo) -> str:
    parts = get_args(field.annotation)
    options = [part for part in parts if part is not type(None)] if type(None) in parts else []
    kind = options[0] if options else field.annotation
    limits = list(field.metadata)
    if get_origin(kind) is Annotated:
        kind, *inner = get_args(kind)
        limits += [limit for each in inner for limit in getattr(each, "metadata", ())]
    if get_origin(kind) is Literal:
        *most, last = get_args(kind)
        return f"{', '.join(most)} or {last}"
    return KINDS.get(kind, KINDS.get(get_origin(kind), "text")) + _bounds(limits)


def _bounds(metadata: Iterable[object]) -> str:
    """Say the limits of a number or of a text's length; a text of one character is any text."""
    limits = ((name, word, getattr(each, name, None)) for each in metadata for name, word in BOUNDS)
    return "".join(
        " " + word.format(limit)
        for name, word, limit in limits
        if limit is not None and (name, limit) != ("min_length", 1)
    )


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be set"
    match field.default:
        case None | "" | ():
            return "not set"
        case bool(value):
            return str(value).lower()
        case value:
            return str(value)
