"""The choice between JSON and a picture, by a request's `Accept` (RFC 9110, 12.5.1)."""

import re

JSON = "application/json"
SVG = "image/svg+xml"
_QUALITY = re.compile(r"q\s*=\s*([01](?:\.\d{0,3})?)")


def wants_picture(accept: bytes) -> bool:
    """Return whether a client prefers SVG to JSON.

    Where both are wanted equally, the type that is named more exactly counts, then JSON: a client
    made from the OpenAPI document names every type that the route has.
    """
    if b"image/" not in accept.lower():  # in nearly all requests
        return False
    ranges = [_read(each) for each in accept.decode("latin-1").lower().split(",")]
    picture, document = _wanted(ranges, SVG), _wanted(ranges, JSON)
    return picture[0] > 0 and picture > document


def _read(given: str) -> tuple[str, float]:
    """Return the range and the quality of one element; a quality that is none counts as 1."""
    kind, *parameters = (part.strip() for part in given.split(";"))
    found = (_QUALITY.fullmatch(each) for each in parameters)
    return kind, next((float(each[1]) for each in found if each), 1.0)


def _wanted(ranges: list[tuple[str, float]], kind: str) -> tuple[float, int]:
    """Return the quality of a type, and how exactly it is named: 2, by its kind 1, else 0."""
    names = ("*/*", kind.partition("/")[0] + "/*", kind)
    found = [(names.index(each), quality) for each, quality in ranges if each in names]
    exactness, quality = max(found, default=(0, 0.0))
    return quality, exactness
