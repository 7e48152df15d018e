"""Rows in the shapes in which people's tools write them, found without a doubt or not at all.

pandas' `to_json` and `to_dict` have six orients; MLflow's scoring protocol wraps some of them,
KServe V1 and TensorFlow Serving wrap a list in `instances`. A shape is taken only where it can mean
nothing else: lists of values without names are rows of a table whose columns nobody named.
Sources: pandas.pydata.org, DataFrame.to_json; mlflow.org, "Deploy to Local"; kserve.github.io, "V1
Protocol"; tensorflow.org, "RESTful API".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from service_kit import shown

ROWS = frozenset({"inputs", "instances", "dataframe_records"})
"""Members that hold rows, as the only member of a body."""
SPLIT = frozenset({"columns", "index", "data"})
RESERVED = ROWS | SPLIT | {"dataframe_split", "schema"}
"""Members of the shapes themselves."""
SHOWN_ROWS = 3
Rows = list[Any]
IsField = Callable[[str], bool]


def rows_in(document: Any, is_field: IsField, *, lists: bool = False) -> Rows | None:
    """Return the rows of a parsed body as objects or lists, or None if their meaning is in doubt.

    Args:
        document: the body.
        is_field: says whether a member's name is that of a field of a row.
        lists: whether every field of a row is a list.
    """
    if isinstance(document, dict) and len(document) == 1:
        ((name, value),) = document.items()
        if name == "dataframe_split" and not is_field(name):
            return _split(value)
        if name in ROWS and not is_field(name):
            return _bare(value, is_field, lists=lists)
    return _bare(document, is_field, lists=lists)


def suggestion(document: Any, fields: Sequence[str]) -> Rows | None:
    """Return the first rows of a body that was refused, as objects of known fields, to be shown.

    They stand where rows are looked for, or in any member of the body. Values without names get
    those of the fields in their order: whether that is what was meant the caller must see.
    """
    known = frozenset(fields)
    inner = document.values() if isinstance(document, dict) else ()
    for place in (document, *inner):
        rows = rows_in(place, known.__contains__)
        named = [_named(row, fields) for row in (rows or ())[:SHOWN_ROWS]]
        if named and all(row is not None for row in named):
            return named
    return None


def _bare(document: Any, is_field: IsField, *, lists: bool) -> Rows | None:
    if isinstance(document, list):
        return document
    if not isinstance(document, dict) or not document:
        return None
    if any(map(is_field, document)):
        return _of_fields(document, is_field, lists=lists)
    if document.keys() <= SPLIT:
        return _split(document)
    if document.keys() == {"schema", "data"}:
        return _table(document, is_field)
    if all(isinstance(row, dict) and any(map(is_field, row)) for row in document.values()):
        return list(document.values())  # pandas' orient "index"
    return None


def _of_fields(document: Mapping[str, Any], is_field: IsField, *, lists: bool) -> Rows | None:
    """Return the rows of an object whose members are fields: its columns, or the one row it is."""
    values = list(document.values())
    if all(isinstance(column, dict) for column in values):  # pandas' orient "columns"
        indexes = [list(column) for column in values]
        is_certain = all(index == indexes[0] for index in indexes) and not any(
            map(is_field, indexes[0])
        )
        columns = [column.values() for column in values]
        return _transposed(document, columns) if is_certain else None
    are_columns = all(isinstance(column, list) for column in values)
    if are_columns and lists:
        are_columns = all(isinstance(each, list) for column in values for each in column)
    if not are_columns:
        return [document]
    same = len(set(map(len, values))) == 1
    return _transposed(document, values) if same else None  # pandas' orient "list"


def _transposed(names: Iterable[str], columns: Iterable[Iterable[Any]]) -> Rows:
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _split(document: Any) -> Rows | None:
    """Return the rows of pandas' orient "split"."""
    if not isinstance(document, dict) or not {"columns", "data"} <= document.keys() <= SPLIT:
        return None
    columns, data = document["columns"], document["data"]
    if not isinstance(columns, list) or not isinstance(data, list):
        return None
    are_names = all(isinstance(name, str) for name in columns) and len(set(columns)) == len(columns)
    fits = all(isinstance(row, list) and len(row) == len(columns) for row in data)
    return [dict(zip(columns, row, strict=True)) for row in data] if are_names and fits else None


def _table(document: Mapping[str, Any], is_field: Callable[[str], bool]) -> Rows | None:
    """Return the rows of pandas' orient "table", without its index."""
    schema, data = document["schema"], document["data"]
    keys = schema.get("primaryKey", ()) if isinstance(schema, dict) else None
    if not isinstance(keys, Sequence) or not isinstance(data, list):
        return None
    dropped = {key for key in keys if isinstance(key, str) and not is_field(key)}
    return [
        {name: value for name, value in row.items() if name not in dropped}
        if isinstance(row, dict)
        else row
        for row in data
    ]


def _named(row: Any, fields: Sequence[str]) -> dict[str, Any] | None:
    """Return a row as an object of fields that are known, if its values can be shown."""
    if isinstance(row, list) and len(row) == len(fields):
        row = dict(zip(fields, row, strict=True))
    if not isinstance(row, dict) or not row or not row.keys() <= set(fields):
        return None
    if any(isinstance(value, list | dict) for value in row.values()):
        return None
    return {name: shown(value) for name, value in row.items()}
