"""A new model service in a copy of the checkout, which has this run's environment."""

import os
import subprocess
import sys
from pathlib import Path

CREATE = """
import sys
from stack.given_origin import origin_of
from stack.new_service import create
create(sys.argv[1], origin_of(None))
"""


def add_service(checkout: Path, name: str) -> None:
    """Write what `make new-service` writes, and install nothing: others have the environment."""
    env = {**os.environ, "PYTHONPATH": str(checkout / "deploy" / "src")}
    subprocess.run([sys.executable, "-c", CREATE, name], cwd=checkout, env=env, check=True)
