"""The commands of the model package's README train, publish and install as they stand."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from stack import ROOT
from stack.ports import is_free

PACKAGE = ROOT / "libs" / "model_pkg"
SCRIPTS = re.findall(
    r"^```sh\n(.*?)^```$", (PACKAGE / "README.md").read_text(), re.MULTILINE | re.DOTALL
)
PORT = 18081


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A shell in a fresh environment; all that was started in it ends with the test."""
    tools = Path(sys.executable).parent
    subprocess.run([tools / "uv", "venv", "--quiet", tmp_path / "environment"], check=True)
    started = subprocess.Popen(
        ["bash", "-euo", "pipefail"],
        cwd=ROOT,
        env=os.environ
        | {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(tmp_path / "environment"),
            "INDEX_PORT": str(PORT),
            "INDEX_FOLDER": str(tmp_path / "index"),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield started
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGTERM)
    started.wait(10)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_commands_train_publish_and_install(
    shell: subprocess.Popen[str], tmp_path: Path
) -> None:
    """`make index` and `make release-model`: both releases published, one installed.

    Training them again changed no byte of what the repository holds.
    """
    assert is_free(PORT)
    models = subprocess.check_output(["git", "diff", "--", PACKAGE], cwd=ROOT)
    script = "\n".join(SCRIPTS).replace(":8081", f":{PORT}") + "\nkill %1; wait || true\n"

    said, _ = shell.communicate(script, timeout=300)

    assert shell.returncode == 0, said
    assert {wheel.name for wheel in (tmp_path / "index").iterdir()} == {
        f"car_evaluation_model-{version}-py3-none-any.whl" for version in ("1.0.0", "1.1.0")
    }
    assert list((tmp_path / "environment").glob("lib/*/site-packages/car_evaluation_model/VERSION"))
    assert subprocess.check_output(["git", "diff", "--", PACKAGE], cwd=ROOT) == models
