"""TLS on both ways to Nacos, HTTP for the login and gRPC for all else, with a private authority."""

import asyncio
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from nacos_client import Known, Nacos, NacosError, NacosSettings, Shown
from pydantic import BaseModel
from stack.nacos import NacosServer, NacosTls

pytestmark = [pytest.mark.nacos, pytest.mark.outage, pytest.mark.anyio, pytest.mark.timeout(300)]

SERVER_NAME = "nacos.internal"


class Settings(BaseModel):
    """A document with one value."""

    clusters: int = 3


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    certificate: Path
    key: Path

    @classmethod
    def new(cls, folder: Path, name: str) -> "Authority":
        """Make one."""
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        extensions = "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"
        _openssl(name, extensions, "-keyout", made.key, "-out", made.certificate)
        return made

    def server(self, folder: Path) -> NacosTls:
        """Sign a certificate for 127.0.0.1 and for one name."""
        files = NacosTls(self.certificate, folder / "server.pem", folder / "server.key")
        names = f"subjectAltName=IP:127.0.0.1,DNS:{SERVER_NAME}"
        extensions = "basicConstraints=critical,CA:FALSE", names
        signer = ("-CA", self.certificate, "-CAkey", self.key)
        _openssl("server", extensions, *signer, "-keyout", files.key, "-out", files.certificate)
        return files


def _openssl(name: str, extensions: Sequence[str], *arguments: str | Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", f"/CN={name}"]
    for extension in extensions:
        made += ["-addext", extension]
    subprocess.run([*made, *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio."""
    return "asyncio"


@pytest.fixture(scope="module")
def server(
    program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NacosServer]:
    """A server that speaks nothing but TLS."""
    program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    files = Authority.new(folder, "authority").server(folder)
    one = NacosServer(folder / "nacos", tls=files)
    one.start()
    one.wait_ready()
    yield one
    one.stop()


def client(server: NacosServer, cache: Path, **tls: Any) -> Nacos:
    """Make a client from the environment that a service would have, changed by `tls`."""
    environment = {**server.access.environment, "NACOS_CACHE_DIR": str(cache), **tls}
    return Nacos(NacosSettings.from_env(environment))


async def eventually(condition: Callable[[], object], seconds: float) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  (the event is in a server)
            await asyncio.sleep(0.02)


@pytest.mark.feature("TLS to the server")
@pytest.mark.parametrize("name", ["", SERVER_NAME])
async def test_everything_works_over_tls(server: NacosServer, tmp_path: Path, name: str) -> None:
    """Announce, discover, publish and watch; by the server's address or by the name it is given."""
    async with client(server, tmp_path, NACOS_TLS_SERVER_NAME=name) as nacos:
        announcement = nacos.announcement("models", port=8001)
        await announcement.announce()
        await eventually(lambda: announcement.state.shown is Shown.AS_WANTED, 15)
        assert [i["port"] for i in server.access.instances("models")] == [8001]
        discovery = nacos.discover("models")
        await eventually(lambda: isinstance(discovery.snapshot, Known), 5)
        assert [i.port for i in discovery.snapshot.instances] == [8001]

        watched = nacos.watch("models", Settings)
        await watched.start()
        before = watched.value.clusters
        await nacos.publish("models", f"clusters: {before + 1}")
        await eventually(lambda: watched.value.clusters == before + 1, 5)


@pytest.mark.parametrize(
    ("setting", "value", "reason"),
    [
        ("NACOS_TLS_CA", "other.pem", "CERTIFICATE_VERIFY_FAILED"),
        ("NACOS_TLS_CA", "spoilt.pem", "spoilt.pem cannot be used"),
        ("NACOS_TLS_CA", "lost.pem", "lost.pem cannot be used: .* No such file"),
        ("NACOS_TLS_SERVER_NAME", "elsewhere.internal", "Hostname Verification"),
        ("NACOS_TLS", "false", "UNAVAILABLE"),
    ],
    ids=["another authority", "no certificate", "no file", "another name", "plain text"],
)
async def test_without_trust_there_is_no_connection(
    server: NacosServer, tmp_path: Path, setting: str, value: str, reason: str
) -> None:
    """Nothing crashes and nothing is believed: the state says why there is no connection.

    A file that is bad from the start ends the start; here files go bad later.
    """
    good = Authority.new(tmp_path, "other").certificate.read_text()
    for name in ("spoilt.pem", "lost.pem"):
        (tmp_path / name).write_text(good)
    wrong = {setting: str(tmp_path / value) if value.endswith(".pem") else value}
    prepared = client(server, tmp_path, **wrong)
    (tmp_path / "spoilt.pem").write_text("no certificate")
    (tmp_path / "lost.pem").unlink()
    async with prepared as nacos:
        announcement = nacos.announcement("models", port=8009)
        await announcement.announce()
        began = time.monotonic()
        with pytest.raises(NacosError):
            await nacos.fetch("models")
        assert time.monotonic() - began < 6
        await eventually(lambda: re.search(reason, nacos.states["nacos"]["trouble"]), 10)
        assert not nacos.states["nacos"]["ok"]
        assert nacos.states["nacos"]["connection"] is None
        assert announcement.state.shown is Shown.UNKNOWN
        watched = nacos.watch("models", Settings)
        await watched.start(wait=0.5)
        assert watched.value == Settings()
    assert 8009 not in [i["port"] for i in server.access.instances("models")]
