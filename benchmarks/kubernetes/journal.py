"""The executions of requests, read from the logs of the pods that executed them.

A pod's log goes when the pod goes; a second name for the file, given while the pod lives, keeps it.
"""

import collections
import os
import re
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from benchmarks.gateway.calls import SERVICE

POLL_SECONDS = 0.1
"""A container's file is there before its program starts, and a pod goes more slowly than this."""
EXECUTION = re.compile(r"^\S+ stdout F \d+\.\d+ \S+ (\S+) /\S+$", re.MULTILINE)


class Journal:
    """Keeps the logs of the counted service's pods, whatever becomes of the pods."""

    def __init__(self, logs: Iterable[Path], kept: Path) -> None:
        self._logs = tuple(logs)
        self._kept = kept
        kept.mkdir()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def executions(self) -> Mapping[str, int]:
        """Count the executions of each request by its id."""
        texts = (file.read_text(errors="replace") for file in self._kept.iterdir())
        return collections.Counter(found for text in texts for found in executed(text))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            for logs in self._logs:
                with suppress(FileNotFoundError):  # a pod went meanwhile; the next look is soon
                    self._keep_in(logs)

    def _keep_in(self, logs: Path) -> None:
        for file in logs.glob(f"*_{SERVICE}-*/*/*.log"):
            name = self._kept / "-".join(file.relative_to(logs).parts)
            if not name.exists():
                os.link(file, name)


def executed(log: str) -> list[str]:
    """Return the id of each execution that a container's log tells, as the runtime writes it."""
    return EXECUTION.findall(log)
