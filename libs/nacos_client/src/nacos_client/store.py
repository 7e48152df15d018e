"""Last-known-good on disk: small JSON files, written whole or not at all."""

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from nacos_client.settings import NacosSettings

log = logging.getLogger(__name__)

MAX_BYTES = 16 * 1024 * 1024


class Store:
    """Files of one namespace of one Nacos, shared by the processes of one user on this host.

    No method raises: without a disk the process works on, and `trouble` says what is wrong.

    Attributes:
        trouble: why the last write failed, or None.
    """

    def __init__(self, settings: NacosSettings) -> None:
        place = f"{settings.server_addr} {settings.namespace}"
        name = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._dir = (settings.cache_dir or _private_tmp()) / name
        self.trouble: str | None = None

    def _path(self, kind: str, key: str) -> Path:
        return self._dir / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"

    def save(self, kind: str, key: str, value: Any) -> None:
        """Replace what is stored under the key; an interrupted write leaves the old value."""
        import tempfile  # noqa: PLC0415  (brings compression along, which costs at every start)

        try:
            self._make_private_dir()
            fd, name = tempfile.mkstemp(dir=self._dir, prefix=".new-")
            try:
                with os.fdopen(fd, "w", encoding="utf-8") as file:
                    json.dump({"key": key, "saved_at": time.time(), "value": value}, file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(self._path(kind, key))
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            if self.trouble is None:
                log.warning("last-known-good is not kept in %s: %s", self._dir, error)
            self.trouble = f"{self._dir}: {error.strerror or error}"
        else:
            self.trouble = None

    def load(self, kind: str, key: str) -> tuple[Any, float] | None:
        """Return the stored value and its age in seconds; None if there is nothing usable."""
        path = self._path(kind, key)
        try:
            if path.stat().st_size > MAX_BYTES or path.stat().st_uid != os.getuid():
                return None
            stored = json.loads(path.read_text("utf-8"))
            if stored["key"] != key:
                return None
            return stored["value"], max(0.0, time.time() - float(stored["saved_at"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("last-known-good of %s is not readable: %s", key, error)
            return None

    def _make_private_dir(self) -> None:
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._dir.stat().st_uid != os.getuid():
            raise PermissionError(1, "belongs to another user")


def _private_tmp() -> Path:
    """Return a directory below the system's temporary one.

    On a read-only root there is none; a path is returned at which every write fails.
    """
    import tempfile  # noqa: PLC0415  (as above)

    try:
        return Path(tempfile.gettempdir(), f"nacos-{os.getuid()}")
    except FileNotFoundError:
        return Path("/tmp", f"nacos-{os.getuid()}")  # noqa: S108  (private: see _make_private_dir)
