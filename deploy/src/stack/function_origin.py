"""A service of a function: its arguments are a row, what it returns are the outputs."""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from stack.field_types import UnservableTypeError, field_type, output_type
from stack.origins import LIBRARY, Origin, UnusableOriginError, filled, literal

GIVEN = "given"
"""The package of a service with what its author has given; ruff leaves it alone."""
UNCHECKED = b"# mypy: ignore-errors\n"
RESERVED = ("version", "config_version", "request_id")
"""Members of every answer beside the outputs."""
SCALARS = (bool, int, float, str)
WAY = (
    "give each argument and the answer a type, as in `def score(age: int, income: float) -> float`"
)


def from_function(given: str) -> Origin:
    """Return the origin of `package.module:function`, from an installed package or a file here.

    Raises:
        UnusableOriginError: there is no such function, or its types cannot be served.
    """
    module, function = _imported(given)
    if not inspect.isfunction(function) or inspect.iscoroutinefunction(function):
        raise UnusableOriginError(f"FROM={given} is no plain function")
    schemas, hint = _types(given, function)
    answer = schemas.pop("return")
    row = {name: _example(schema) for name, schema in schemas.items()}
    try:
        defaults = _defaults(function)
        fields = [
            f"        {name}: {field_type(schema)}{defaults[name]}"
            for name, schema in schemas.items()
        ]
        outputs, answers = _outputs(answer, hint)
    except UnservableTypeError as error:
        raise UnusableOriginError(f"FROM={given}: {error}: {WAY}") from error
    import_line, dependencies, files = _carried(given, module, function.__name__)
    doc = inspect.getdoc(function) or f"Answers by {function.__name__}."
    text = doc.partition("\n")[0].replace("\\", "").replace('"', "'")
    model = filled(
        "function.py.in",
        import_line=import_line,
        text=literal(text),
        fields=literal("\n".join(fields)),
        outputs=literal("\n".join(f'        "{name}": {out},' for name, out in outputs.items())),
        function=function.__name__,
        answers=", ".join(f'"{name}": {source}' for name, source in answers.items()),
    )
    return Origin(model, (*LIBRARY, *dependencies), row, files)


def _imported(given: str) -> tuple[ModuleType, Any]:
    name, _, attribute = given.partition(":")
    try:
        module = importlib.import_module(name)
    except Exception as error:  # a module of others may raise anything
        raise UnusableOriginError(
            f"FROM={given}: the module {name} cannot be imported"
            f" ({type(error).__name__}: {error}): install it, or start make in its folder"
        ) from error
    if not hasattr(module, attribute):
        raise UnusableOriginError(f"FROM={given}: the module {name} has no {attribute}")
    return module, getattr(module, attribute)


def _types(given: str, function: Callable[..., Any]) -> tuple[dict[str, Mapping[str, Any]], Any]:
    """Return the JSON schemas of the arguments and of the answer (`return`), and its type."""
    parameters = inspect.signature(function).parameters.values()
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    if bad := [each.name for each in parameters if each.kind not in named]:
        raise UnusableOriginError(f"FROM={given}: the argument {bad[0]} has no name for callers")
    if not parameters:
        raise UnusableOriginError(f"FROM={given} takes no arguments, so that there is no row")
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise UnusableOriginError(f"FROM={given}: {error}: {WAY}") from error
    names = [*(each.name for each in parameters), "return"]
    if untyped := [name for name in names if name not in hints]:
        told = "the answer" if untyped[0] == "return" else f"the argument {untyped[0]}"
        raise UnusableOriginError(f"FROM={given}: {told} has no type: {WAY}")
    try:
        schemas = {name: _schema(hints[name], name) for name in names}
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        first = str(error).partition("\n")[0]
        raise UnusableOriginError(f"FROM={given}: {first}: {WAY}") from error
    return schemas, hints["return"]


def _schema(hint: Any, name: str) -> Mapping[str, Any]:
    mode: Any = "serialization" if name == "return" else "validation"
    return TypeAdapter(hint).json_schema(mode=mode)


def _defaults(function: Callable[..., Any]) -> dict[str, str]:
    """Return the source of each argument's default; it is empty where there is none."""
    parameters = inspect.signature(function).parameters
    return {
        name: f" = {parameter.default!r}" if isinstance(parameter.default, SCALARS) else ""
        for name, parameter in parameters.items()
    }


def _outputs(answer: Mapping[str, Any], hint: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Return the declaration of each output, and the source of its values."""
    if answer.get("type") != "object" or "properties" not in answer:
        return {"result": output_type(answer)}, {"result": "answers"}
    outputs = {name: output_type(schema) for name, schema in answer["properties"].items()}
    if taken := [name for name in outputs if name in RESERVED]:
        raise UnservableTypeError(f"every answer has {taken[0]!r} already, name it otherwise")
    # A TypedDict is a dict, whichever module it comes from.
    value = 'each["{}"]' if isinstance(hint, type) and issubclass(hint, dict) else "each.{}"
    return outputs, {name: f"[{value.format(name)} for each in answers]" for name in outputs}


def _example(schema: Mapping[str, Any]) -> Any:
    """Return a good value: the first of several, the middle of bounds, or the simplest."""
    if "enum" in schema or "const" in schema:
        return schema["enum"][0] if "enum" in schema else schema["const"]
    if schema.get("type") == "array":
        return [_example(schema.get("items", {}))] * max(1, schema.get("minItems", 1))
    if schema.get("type") == "string":
        return "a" * max(1, schema.get("minLength", 1))
    if schema.get("type") == "boolean":
        return True
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        middle = (low + high) / 2
    elif low is not None:
        middle = low + 1
    else:
        middle = high - 1 if high is not None else 1
    return int(middle) if schema.get("type") == "integer" else float(middle)


def _carried(
    given: str, module: ModuleType, function: str
) -> tuple[str, tuple[str, ...], dict[str, bytes]]:
    """Return how the service imports the function, what it requires, and the files it takes along.

    A module that no distribution has is one file, which becomes a part of the service.
    """
    top = module.__name__.partition(".")[0]
    if distributions := packages_distributions().get(top):
        typed = (Path(sys.modules[top].__file__ or "").parent / "py.typed").exists()
        ignore = "" if typed else "  # type: ignore[import-untyped]"
        # A version of one's own build, `1.2+mine`, is not allowed after >=.
        requirement = f"{distributions[0]}>={version(distributions[0]).partition('+')[0]}"
        return f"from {module.__name__} import {function}{ignore}", (requirement,), {}
    if top != module.__name__ or module.__file__ is None:
        raise UnusableOriginError(
            f"FROM={given}: the package {top} is not installed, so that an image would lack it:"
            " give it a pyproject.toml and install it, or give the function in a file of its own"
        )
    files = {
        f"{GIVEN}/__init__.py": b'"""What the author of the model has given, as it was."""\n',
        f"{GIVEN}/{top}.py": UNCHECKED + Path(module.__file__).read_bytes(),
    }
    return f"from $package.{GIVEN}.{top} import {function}", (), files
