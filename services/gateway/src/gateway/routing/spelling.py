"""The spellings of a path: servers do not agree on the resource that some paths name. Pure.

A route protects the paths that it matches. Behind the gateway, Tomcat and Spring cut parameters off
segments (`/app/admin;x=1`), many servers drop empty segments (`/app//admin`), all resolve dot
segments, some of them only after the parameters are gone (`/app/x/..;/admin`), and for some
`/admin/` is `/admin`.
"""


def other_readings(path: bytes) -> frozenset[bytes]:
    """Return the other paths that servers may read in a decoded path, mostly none.

    Args:
        path: decoded, and without plain dot segments, which are refused before.
    """
    if b";" not in path and b"//" not in path and not path.endswith(b"/"):
        return frozenset()
    readings = {path}
    for step in (_cut_parameters, _drop_empty, _resolve_dots, _drop_empty, _cut_last_slash):
        readings |= {step(reading) for reading in readings}  # a server takes the step, or does not
    return frozenset(readings - {path})


def plain(path: bytes) -> bytes:
    """Return the path that the most servers read: without parameters, empty and dot segments."""
    return _resolve_dots(_drop_empty(_cut_parameters(path)))


def _cut_parameters(path: bytes) -> bytes:
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


def _cut_last_slash(path: bytes) -> bytes:
    return path.rstrip(b"/") or b"/"


def _drop_empty(path: bytes) -> bytes:
    """Drop empty segments; a last slash stays, for it is read as written."""
    kept = b"/" + b"/".join(segment for segment in path.split(b"/") if segment)
    return kept + b"/" if path.endswith(b"/") and kept != b"/" else kept


def _resolve_dots(path: bytes) -> bytes:
    resolved: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            del resolved[-1:]
        elif segment != b".":
            resolved.append(segment)
    return b"/" + b"/".join(resolved)
