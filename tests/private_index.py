"""A private index of the tests' own, which is empty at first."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from stack import ROOT

LOGIN = ("model-reader", "correct-horse-battery")


@contextmanager
def private_index(folder: Path) -> Iterator[int]:
    """Serve an index of a folder; yield its port."""
    with subprocess.Popen(
        [sys.executable, ROOT / "libs" / "model_pkg" / "index.py", folder, "--port", "0"],
        env=os.environ | {"INDEX_USERNAME": LOGIN[0], "INDEX_PASSWORD": LOGIN[1]},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = urlsplit(server.stdout.readline().split()[-1]).port
        assert port is not None
        yield port
        server.terminate()
