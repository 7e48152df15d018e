"""The shell in which a document's commands are run as they stand."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Shell:
    """A shell that runs one block of the page after the other."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash", "-uo", "pipefail"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, script: str) -> str:
        """Run commands up to the first that fails; return what they print."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"set -e\n{script}\nset +e; printf '\\n= done\\n'\n")
        self.process.stdin.flush()
        said: list[str] = []
        for line in self.process.stdout:
            if line == "= done\n":
                return "".join(said).removesuffix("\n")
            said.append(line)
        raise AssertionError("".join(said))

    def end(self) -> None:
        """End the shell and all that it has started in the background."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.communicate(timeout=30)
