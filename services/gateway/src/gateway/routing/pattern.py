"""Regular expressions for values that strangers send.

Python's own engine can need twice the time for each further character of a value (`(a+)+b`); one
request would stop a worker. The engine that pydantic brings along (Rust's `regex`) reads a value
once, whatever the expression is, and has therefore no look-around and no backreferences.
"""

from pydantic_core import SchemaError, SchemaValidator, core_schema


class TextPattern:
    """An expression that a whole value has to match."""

    __slots__ = ("_validator",)

    def __init__(self, expression: str) -> None:
        """Compile the expression, in the syntax of Rust's `regex`.

        Raises:
            ValueError: it is none, or is too large; the text says which.
        """
        try:
            SchemaValidator(core_schema.str_schema(pattern=expression))  # by itself: no `a)|(b`
            whole = core_schema.str_schema(pattern=f"^(?:{expression})$")
            self._validator = SchemaValidator(whole)
        except SchemaError as error:
            reason = str(error).rpartition("rror: ")[2].strip()
            raise ValueError(f"{expression} is no regular expression: {reason}") from error

    def matches(self, value: bytes) -> bool:
        """Return whether a value, read as UTF-8, matches as a whole."""
        return self._validator.isinstance_python(value.decode(errors="replace"))
