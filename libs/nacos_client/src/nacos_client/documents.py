"""The way from the text of configuration documents to a validated model. Pure.

Types: YAML (the default), JSON, TOML, and Java properties, by the document's type in Nacos or the
ending of its data id. Validation is strict (no "3" for 3) and knows every key: an unknown one is
refused with the nearest known one named. Properties carry text only, so there numbers and booleans
are read from text. YAML's types are those on which its versions 1.1 and 1.2 agree.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from nacos_client.cipher import is_encrypted
from nacos_client.errors import BadDocument
from nacos_client.ports import Document

M = TypeVar("M", bound=BaseModel)

MAX_CHARACTERS = 1_000_000
BYTE_ORDER_MARK = "\ufeff"
QUOTING = {"error", "tag", "encoding_error"}
"""The parts of pydantic's own messages in which a value may be repeated."""
OF_NUMBERS = ("int_", "float_", "bool_", "greater_", "less_", "multiple_", "finite_")
OF_WORDS = ("literal_", "enum")
"""Beginnings of pydantic's types of errors where a number or a boolean, or one of a few words, must
stand."""
PLAIN = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|true|false", re.IGNORECASE)
SHOWN_CHARACTERS = 40
TOLD_LINE = re.compile(r"\bline ([0-9]{1,7})\b")
"""The line in the words of a parser."""
KINDS = {"yaml": "yaml", "yml": "yaml", "json": "json", "properties": "properties", "toml": "toml"}


def kind_of(data_id: str, noted: str = "") -> str:
    """Return the type of a document: the ending of its id, else what Nacos noted, else YAML."""
    ending = data_id.rpartition(".")[2].lower() if "." in data_id else ""
    return KINDS.get(ending) or KINDS.get(noted.lower()) or "yaml"


def parse(content: str, kind: str) -> dict[str, Any]:
    """Read a document into a mapping; an empty document is an empty mapping.

    A byte order mark, which editors of Windows put before the text, is no part of it.

    Raises:
        BadDocument: the content is not of this type, is no mapping, or is too large.
    """
    if len(content) > MAX_CHARACTERS:
        raise BadDocument(f"longer than {MAX_CHARACTERS} characters")
    content = content.removeprefix(BYTE_ORDER_MARK)
    try:
        match kind:
            case "json":
                value = json.loads(content) if content.strip() else {}
            case "toml":
                value = _toml(content)
            case "properties":
                value = _properties(content)
            case _:
                value = _yaml(content)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"is not {kind}: {' '.join(str(error).split())}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadDocument(f"is {type(value).__name__}, not a mapping of keys to values")
    return value


def _yaml(content: str) -> Any:
    from nacos_client.strict_yaml import load  # noqa: PLC0415  (a fifth of this package's import)

    return load(content)


def _toml(content: str) -> Any:
    import tomllib  # noqa: PLC0415  (few documents are TOML, and every start would wait for it)

    return tomllib.loads(content)


def _properties(content: str) -> dict[str, Any]:
    from nacos_client.properties import read_properties  # noqa: PLC0415  (few documents have it)

    return _nested(read_properties(content))


def _nested(pairs: Mapping[str, str]) -> dict[str, Any]:
    """Unfold `a.b=1` and `a[0]=x` into mappings and lists, as Spring's binder does."""
    root: dict[str, Any] = {}
    for name, value in pairs.items():
        *path, last = name.replace("[", ".").replace("]", "").split(".")
        place = root
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise BadDocument(f"{name}: {step} has a value already")
        if last in place:
            raise BadDocument(f"{name}: {last} has a value or keys already")
        place[last] = value
    return {name: _listed(value) for name, value in root.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(part) for name, part in value.items()}
    indexes = [str(index) for index in range(len(inner))]
    if inner and inner.keys() == set(indexes):
        return [inner[index] for index in indexes]
    return inner


def layered(documents: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Lay mappings over each other, the last on top: mappings merge, all else is replaced."""
    merged: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            below = merged.get(key)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[key] = layered((below or {}, value)) if both else value
    return merged


def validated(model: type[M], documents: Iterable[tuple[str, Document]]) -> M:
    """Read, layer and validate documents given as (data id, document), the strongest last.

    Raises:
        BadDocument: a document or the model is wrong; the message names the keys, in one line. Of
            an encrypted document it quotes nothing.
    """
    documents = list(documents)
    secret = any(is_encrypted(data_id) for data_id, _ in documents)
    kinds: set[str] = set()
    parsed: list[dict[str, Any]] = []
    for data_id, document in documents:
        kind = kind_of(data_id, document.type)
        kinds.add(kind)
        try:
            parsed.append(parse(document.content, kind))
        except BadDocument as error:
            if is_encrypted(data_id):
                raise BadDocument(f"{data_id} is no {kind} that can be read") from None
            named = TOLD_LINE.search(str(error))
            line = int(named[1]) if named else None
            raise BadDocument(f"{data_id} {error}", line) from error
    try:
        text = json.dumps(layered(parsed), default=str)
    except (ValueError, RecursionError) as error:  # for example a number of thousands of digits
        raise BadDocument(f"cannot be read as plain values: {error}") from error
    try:
        return model.model_validate_json(text, strict="properties" not in kinds, extra="forbid")
    except ValidationError as error:
        if secret:
            raise BadDocument(explained(error, model, secret=True)) from None
        is_one = len(documents) == 1 and kinds == {"yaml"}
        line = _line_of(error, documents[0][1].content) if is_one else None
        raise BadDocument(explained(error, model, shows_read=True), line) from error


def _line_of(error: ValidationError, content: str) -> int | None:
    """Return the line of a YAML document that the first problem is about."""
    from nacos_client.strict_yaml import line_of  # noqa: PLC0415  (as in _yaml)

    return line_of(content, error.errors(include_input=False, include_url=False)[0]["loc"])


def explained(
    error: ValidationError,
    model: type[BaseModel],
    *,
    secret: bool = False,
    shows_read: bool = False,
) -> str:
    """Say in one line what is wrong with each key; values may be secret, so none is repeated.

    With `secret`, words that may repeat one all the same are left out: those of the model's own
    validators, and some of pydantic's. With `shows_read`, what was read is told where a number, a
    boolean or one of a few words must stand, for no secret does.
    """
    return "; ".join(
        f"{_place(problem['loc'])}: {_reason(problem, model, secret=secret)}"
        for problem in error.errors(include_input=shows_read)
    )


def _place(loc: tuple[int | str, ...]) -> str:
    return ".".join(map(str, loc)) or "document"


def _reason(problem: Any, model: type[BaseModel], *, secret: bool) -> str:
    if secret and _may_quote(problem):
        return "is refused"
    if problem["type"] != "extra_forbidden":
        return str(problem["msg"]) + (_read(problem) if "input" in problem else "")
    import difflib  # noqa: PLC0415  (needed only for an unknown key)

    known = sorted(_known_keys(model.model_json_schema()))
    near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
    return "unknown key" + hint


def _read(problem: Any) -> str:
    """Return what was read in place of a number, a boolean or one of a few words."""
    kind, value = problem["type"], problem["input"]
    if not kind.startswith((*OF_NUMBERS, *OF_WORDS)):
        return ""
    match value:
        case dict():
            return ", not a mapping"
        case list():
            return ", not a list"
        case str() if kind.startswith(OF_NUMBERS) and not PLAIN.fullmatch(value):
            return ", not text"
    shown = json.dumps(value, ensure_ascii=False)
    return f", not {shown if len(shown) <= SHOWN_CHARACTERS else shown[:SHOWN_CHARACTERS] + '...'}"


def _may_quote(problem: Any) -> bool:
    """Return whether the message of a problem may repeat a value.

    A message that is not pydantic's own, which has a URL beside it, may say anything.
    """
    return "url" not in problem or not QUOTING.isdisjoint(problem.get("ctx", ()))


def _known_keys(schema: Any) -> set[str]:
    """Return every property name of a JSON schema, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(_known_keys, schema))
    if not isinstance(schema, dict):
        return set()
    properties = schema.get("properties", {})
    return set(properties) | _known_keys([*properties.values(), *schema.get("$defs", {}).values()])
