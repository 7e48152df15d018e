"""The part of Helm's language that the chart of deploy/kubernetes uses.

That is values, `add` with a whole number and, each on a line of its own, `range`, `if`, `if not`
and `end`. So what is written from the chart needs no Helm on the machine.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Scope = Mapping[str, Any]
"""The values that a template may name, by their first words: `.Values`, `$name`, `$model`."""
_BLOCK = re.compile(r"\{\{- (?:(if|if not|range \$name, \$model :=) \$?([\w.]+)|(end)) \}\}\n")
_VALUE = re.compile(r"\{\{ (?:(add) )?([\w.$]+)(?: (\d+))? \}\}")


class TemplateError(ValueError):
    """A template uses what is not known here; the message has the line."""


def fill(template: str, values: Mapping[str, Any]) -> str:
    """Return what Helm makes of a template.

    Raises:
        TemplateError: the template uses more of Helm's language, or a value that is not there.
    """
    lines = template.splitlines(keepends=True)
    return "".join(_filled(lines, {"": {"Values": values}}))


def _filled(lines: Sequence[str], scope: Scope) -> Iterator[str]:
    at = 0
    while at < len(lines):
        block = _BLOCK.fullmatch(lines[at])
        if block is None:
            yield _line(lines[at], scope)
            at += 1
            continue
        end = _end(lines, at)
        for inner in _scopes(block, scope):
            yield from _filled(lines[at + 1 : end], inner)
        at = end + 1


def _end(lines: Sequence[str], begin: int) -> int:
    """Return the place of the line that ends the block which begins at `begin`."""
    if lines[begin].startswith("{{- end"):
        raise TemplateError("an end of no block")
    depth = 0
    for at in range(begin, len(lines)):
        if block := _BLOCK.fullmatch(lines[at]):
            depth += -1 if block[3] else 1
            if depth == 0:
                return at
    raise TemplateError(f"no end of {lines[begin].strip()}")


def _scopes(block: re.Match[str], scope: Scope) -> list[Scope]:
    """Return the scope of each time that a block's lines stand in the result."""
    word, value = block[1], _value(block[2], scope)
    if word.startswith("range"):
        return [{**scope, "name": name, "model": value[name]} for name in sorted(value)]
    return [scope] if bool(value) == (word == "if") else []


def _line(line: str, scope: Scope) -> str:
    filled = _VALUE.sub(lambda found: _text(found, scope), line)
    if "{{" in filled:
        raise TemplateError(f"not known here: {line.strip()}")
    return filled


def _text(found: re.Match[str], scope: Scope) -> str:
    value = _value(found[2].removeprefix("$"), scope)
    number = int(found[3]) if found[1] else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value + (number or 0))
    if isinstance(value, str) and number is None:
        return value
    raise TemplateError(f"{found[0]} is neither text nor a whole number")


def _value(path: str, scope: Scope) -> Any:
    value: Any = scope
    for key in path.split("."):
        try:
            value = value[key]
        except (KeyError, TypeError) as error:
            raise TemplateError(f"there is no value {path}") from error
    return value
