"""Header fields that a route sets, adds and removes, on the way there or back. Pure."""

from collections.abc import Iterable, Mapping

from gateway.http.heads import without_fields


class FieldChanges:
    """Changes to the rendered fields of a message.

    Attributes:
        added: the rendered fields that are set or added.
    """

    __slots__ = ("_dropped", "added")

    def __init__(
        self,
        *,
        replace: Mapping[str, str] | None = None,
        add: Mapping[str, str] | None = None,
        remove: Iterable[str] = (),
    ) -> None:
        """Take the changes.

        Args:
            replace: values that take the place of all values of a field.
            add: values beside those that a field has.
            remove: names of fields.
        """
        replace, add = replace or {}, add or {}
        self._dropped = frozenset(name.lower().encode() for name in (*replace, *remove))
        self.added = b"".join(
            f"{name}: {value}\r\n".encode("latin-1")
            for name, value in (*replace.items(), *add.items())
        )

    def without_dropped(self, lines: bytes) -> bytes:
        """Return the fields that stay."""
        return without_fields(lines, self._dropped) if self._dropped else lines
