"""`make setup` where the index is behind a certificate authority that only the system knows."""

import base64
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from stack import ROOT

pytestmark = pytest.mark.timeout(300)

SYSTEM = Path("/etc/ssl/certs")
PRIVATE = ("unshare", "--mount", "--propagation", "private", "--")
KNOWN = f'mount --bind "$1" {SYSTEM} && shift && exec "$@"'
"""Runs in a mount namespace: the system's certificates are those of a folder."""
BACKEND = """
import zipfile

def build_editable(folder, *_):
    with zipfile.ZipFile(f"{folder}/member-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in {"METADATA": "Metadata-Version: 2.1\\nName: member\\nVersion: 1.0\\n",
                           "WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any\\n",
                           "RECORD": ""}.items():
            wheel.writestr(f"member-1.0.dist-info/{name}", text)
    return "member-1.0-py3-none-any.whl"
"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and writes no log."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def wheel(index: Path, name: str, version: str, files: Mapping[str, str]) -> str:
    """Put a wheel into an index; returns its hash as a lock writes it."""
    kept = {
        **files,
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\n"
        f"Version: {version}\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in kept.items())
    file = index / "simple" / name / f"{name}-{version}-py3-none-any.whl"
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in kept.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16  # a file that can be run: the script
            archive.writestr(entry, text)
        archive.writestr(f"{name}-{version}.dist-info/RECORD", record)
    (file.parent / "index.html").write_text(f"<a href='{file.name}'>{file.name}</a>")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def openssl(*arguments: str | Path) -> str:
    """Run openssl."""
    return subprocess.check_output(
        ["openssl", *map(str, arguments)], text=True, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def authority(tmp_path: Path, program: Callable[[str, str], str]) -> Path:
    """A folder with an authority `ca.pem`, and a certificate `server.pem` for this host."""
    program("openssl", "openssl")
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    ca, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    constraints = ("-addext", "basicConstraints=critical,CA:TRUE")
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    openssl(*made, "-subj", "/CN=private", *constraints, *usage, "-keyout", key, "-out", ca)
    signed = ("-CA", ca, "-CAkey", key, "-addext", "basicConstraints=critical,CA:FALSE")
    files = ("-keyout", tmp_path / "server.key", "-out", tmp_path / "server.pem")
    name = ("-subj", "/CN=index", "-addext", "subjectAltName=DNS:localhost")
    openssl(*made, *signed, *name, *files)
    return tmp_path


@pytest.fixture
def index(authority: Path) -> Iterator[str]:
    """The address of an index with `uv`, which runs the real one, and `probe`."""
    folder = authority / "index"
    uv = Path(sys.executable).with_name("uv")
    pins = {
        "uv": wheel(
            folder, "uv", "99.0", {"uv-99.0.data/scripts/uv": f'#!/bin/sh\nexec {uv} "$@"'}
        ),
        "probe": wheel(folder, "probe", "1.0", {"probe.py": "found = True"}),
    }
    versions = {"uv": "99.0", "probe": "1.0"}
    lines = (f"{name}=={versions[name]} --hash=sha256:{pin}\n" for name, pin in pins.items())
    (authority / "requirements.lock").write_text("".join(lines))
    handler = partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(authority / "server.pem", authority / "server.key")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}/simple"
    server.shutdown()
    server.server_close()


@pytest.fixture
def certificates(authority: Path) -> Path:
    """The system's certificates and the authority, as `update-ca-certificates` leaves them."""
    folder = authority / "certs"
    shutil.copytree(SYSTEM, folder, symlinks=True)
    text = (authority / "ca.pem").read_text()
    bundle = folder / "ca-certificates.crt"
    kept = bundle.read_text()
    bundle.unlink()  # it may be a link to the system's own
    bundle.write_text(kept + text)
    hashed = openssl("x509", "-hash", "-noout", "-in", authority / "ca.pem").strip()
    (folder / f"{hashed}.0").write_text(text)
    return folder


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_the_systems_certificates_count(
    authority: Path, index: str, certificates: Path, *, known: bool
) -> None:
    """What the index has is installed if the system knows its authority, and else is not."""
    if subprocess.run([*PRIVATE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("MISSING PROGRAM unshare: nobody may mount here: nothing stands for the system")
    member = authority / "member"
    member.mkdir()
    (member / "backend.py").write_text(BACKEND)
    (member / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "member"\nversion = "1.0"\n'
    )
    shown = (certificates,) if known else (SYSTEM,)
    command: list[str | Path] = [
        "sh",
        "-c",
        KNOWN,
        "sh",
        *shown,
        "bash",
        ROOT / "deploy/setup.sh",
        "venv",
        "member",
    ]

    done = subprocess.run(
        [*PRIVATE, *command],
        cwd=authority,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(authority),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index,
            "PIP_RETRIES": "0",
            "UV_DEFAULT_INDEX": index,
            "UV_NO_CONFIG": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode == 0) is known, done.stdout + done.stderr
    probe = list((authority / "venv").glob("lib/*/site-packages/probe.py"))
    assert len(probe) == known


def test_an_older_python_is_refused(tmp_path: Path) -> None:
    """Where nothing can be installed, the message says what is needed; no environment is made."""
    older, programs = tmp_path / "python3.10", tmp_path / "bin"
    older.write_text("#!/bin/sh\nexit 1\n")
    older.chmod(0o755)
    programs.mkdir()
    for name in ("bash", "grep", "id"):
        (programs / name).symlink_to(str(shutil.which(name)))

    done = subprocess.run(
        ["bash", ROOT / "deploy/setup.sh", "venv", "member"],
        cwd=tmp_path,
        env={"PATH": str(programs), "PYTHON": str(older)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "please install python3" in done.stderr
    assert "Python 3.11 or newer" in done.stderr
    assert not (tmp_path / "venv").exists()
