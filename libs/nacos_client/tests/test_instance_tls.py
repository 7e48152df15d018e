# ruff: noqa: D102  (a test's tool says by its names what it does)
"""Calls by name to instances that listen for TLS, over real sockets and openssl's certificates."""

import io
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from failover import Instance
from nacos_client import AsyncNacosTransport, BadTls, InstanceTls, Nacos, NacosTransport
from nacos_client.call import parser, run
from nacos_client.testing import FakeNacos

pytestmark = pytest.mark.anyio

SECURE = {"secure": "true"}


def openssl(name: str, extensions: Sequence[str], *arguments: str | Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    made += ["-nodes", "-days", "2", "-subj", f"/CN={name}"]
    for extension in extensions:
        made += ["-addext", extension]
    subprocess.run([*made, *map(str, arguments)], check=True, capture_output=True)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own."""

    certificate: Path
    key: Path

    @classmethod
    def new(cls, folder: Path, name: str) -> "Authority":
        made = cls(folder / f"{name}.pem", folder / f"{name}.key")
        extensions = "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign"
        openssl(name, extensions, "-keyout", made.key, "-out", made.certificate)
        return made

    def sign(self, name: str, alternative: str) -> tuple[Path, Path]:
        """Make a certificate and its key for a name of openssl's form: `DNS:a` or `IP:1.2.3.4`."""
        folder = self.certificate.parent
        files = folder / f"{name}.pem", folder / f"{name}.key"
        signer = ("-CA", self.certificate, "-CAkey", self.key)
        out = ("-out", files[0], "-keyout", files[1])
        extensions = "basicConstraints=critical,CA:FALSE", f"subjectAltName={alternative}"
        openssl(name, extensions, *signer, *out)
        return files


@dataclass(frozen=True)
class World:
    """Two authorities, of which callers trust the first, and certificates that it signed."""

    ours: Authority
    strangers: Authority
    by_ip: tuple[Path, Path]
    by_name: tuple[Path, Path]
    caller: tuple[Path, Path]
    stranger: tuple[Path, Path]


@pytest.fixture(scope="module")
def world(program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> World:
    """The files of all tests."""
    program("openssl", "openssl")
    folder = tmp_path_factory.mktemp("tls")
    ours, strangers = (Authority.new(folder, name) for name in ("ours", "strangers"))
    return World(
        ours,
        strangers,
        ours.sign("by-ip", "IP:127.0.0.1"),
        ours.sign("by-name", "DNS:models.internal"),
        ours.sign("caller", "DNS:caller.internal"),
        strangers.sign("stranger", "IP:127.0.0.1,DNS:models.internal"),
    )


@dataclass
class Listener:
    """An HTTP server that answers with its name and that of its caller's certificate."""

    name: str
    port: int
    requests: list[str]
    alpn: list[str | None]

    def instance(self, **metadata: str) -> Instance:
        return Instance("127.0.0.1", self.port, metadata=metadata)


@contextmanager
def listening(
    name: str, files: tuple[Path, Path] | None = None, ask: Path | None = None
) -> Iterator[Listener]:
    """Serve; by TLS with the certificate of `files`, asking for one signed by `ask`."""
    context: ssl.SSLContext | None = None
    if files:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ask)
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.load_cert_chain(*files)
        context.verify_mode = ssl.CERT_REQUIRED if ask else ssl.CERT_NONE

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            told.requests.append(self.path)
            subject: Any = ()
            if files:
                told.alpn.append(self.request.selected_alpn_protocol())
                subject = (self.request.getpeercert() or {}).get("subject", ())
            caller = dict(pair for pairs in subject for pair in pairs).get("commonName")
            body = json.dumps({"from": name, "caller": caller}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: Any, client_address: Any) -> None:
            end = context.wrap_socket(request, server_side=True) if context else request
            with end:
                super().finish_request(end, client_address)

        def handle_error(self, *_: object) -> None:
            """Stay silent about a caller who does not trust this server."""

    with Server(("127.0.0.1", 0), Handler) as server:
        told = Listener(name, server.server_port, [], [])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()


async def test_the_right_authority_and_address(fake: FakeNacos, nacos: Nacos, world: World) -> None:
    """An instance whose metadata say `secure` is called by TLS, HTTP/1.1, by its IP address."""
    with listening("one", world.by_ip) as one:
        fake.put_instance("models", one.instance(secure="True"))
        transport = AsyncNacosTransport(nacos, tls=InstanceTls(ca=world.ours.certificate))
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.post("http://models/", json={})
    assert answer.json() == {"from": "one", "caller": None}
    assert one.alpn == ["http/1.1"]


def test_the_right_name_from_plain_code(fake: FakeNacos, world: World) -> None:
    """The expected name is made of the service's; `NacosTransport` does the same."""
    tls = InstanceTls(ca=world.ours.certificate, name="{service}.internal")
    nacos = fake.client()
    with listening("one", world.by_name) as one:
        fake.put_instance("models", one.instance(secure="true"))
        with httpx.Client(transport=NacosTransport(nacos, tls=tls)) as client:
            assert client.get("http://models/").json()["from"] == "one"
    nacos.stop()


@pytest.mark.parametrize("wrong", ["authority", "name"])
async def test_an_instance_without_proof_gets_no_request(
    fake: FakeNacos, nacos: Nacos, world: World, wrong: str
) -> None:
    """Nothing is sent there: even a POST goes to another instance, else it is a ConnectError."""
    tls = InstanceTls(ca=world.ours.certificate, name="models.internal")
    files = {"authority": world.stranger, "name": world.by_ip}[wrong]
    with listening("bad", files) as bad, listening("good", world.by_name) as good:
        for each in (bad, good):
            fake.put_instance("models", each.instance(**SECURE))
        fake.put_instance("alone", bad.instance(**SECURE))
        async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, tls=tls)) as client:
            answers = [await client.post("http://models/", json={}) for _ in range(10)]
            assert {answer.json()["from"] for answer in answers} == {"good"}
            assert 10 < sum(answer.extensions["nacos_attempts"] for answer in answers) < 20
            with pytest.raises(httpx.ConnectError):
                await client.get("http://alone/")
    assert bad.requests == []


async def test_the_callers_certificate(fake: FakeNacos, nacos: Nacos, world: World) -> None:
    """An instance that asks for a certificate gets the caller's; without one nobody answers."""
    trust = {"ca": world.ours.certificate}
    cert, key = world.caller
    with listening("one", world.by_ip, ask=world.ours.certificate) as one:
        fake.put_instance("models", one.instance(**SECURE))
        known = AsyncNacosTransport(nacos, tls=InstanceTls(**trust, cert=cert, key=key))
        async with httpx.AsyncClient(transport=known) as client:
            assert (await client.get("http://models/")).json()["caller"] == "caller"
        unknown = AsyncNacosTransport(nacos, tls=InstanceTls(**trust))
        async with httpx.AsyncClient(transport=unknown) as client:
            with pytest.raises(httpx.TransportError):
                await client.get("http://models/")
    assert len(one.requests) == 1


async def test_plain_beside_secure(fake: FakeNacos, nacos: Nacos, world: World) -> None:
    """One service may have both kinds while it is changed over; each is called as it listens."""
    with listening("plain") as plain, listening("secure", world.by_ip) as secure:
        fake.put_instance("models", plain.instance(secure="false"))
        fake.put_instance("models", secure.instance(**SECURE))
        transport = AsyncNacosTransport(nacos, tls=InstanceTls(ca=world.ours.certificate))
        async with httpx.AsyncClient(transport=transport) as client:
            answers = [(await client.get("http://models/")).json()["from"] for _ in range(20)]
    assert set(answers) == {"plain", "secure"}


async def test_a_proof_for_one_service_is_none_for_another(
    fake: FakeNacos, nacos: Nacos, world: World
) -> None:
    """A service that claims another's name in Nacos is not called over its own connection."""
    tls = InstanceTls(ca=world.ours.certificate, name="{service}.internal")
    with listening("models", world.by_name) as models:
        fake.put_instance("models", models.instance(**SECURE))
        fake.put_instance("payments", models.instance(**SECURE))
        async with httpx.AsyncClient(transport=AsyncNacosTransport(nacos, tls=tls)) as client:
            await client.get("http://models/")
            with pytest.raises(httpx.ConnectError):
                await client.get("http://payments/secret")
    assert models.requests == ["/"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, "192.0.2.1"),
        ("models.internal", "models.internal"),
        ("{service}.prod.internal", "car-evaluation.prod.internal"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_expected_name(name: str | None, expected: str) -> None:
    """The IP address, a name for all, or a name of each service's own."""
    assert InstanceTls(name=name).server_name("car-evaluation", "192.0.2.1") == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"cert": Path("a.pem")}, "belong together"),
        ({"key": Path("a.key")}, "belong together"),
        ({"name": ""}, "is no host name"),
        ({"name": "{serv}.internal"}, "is no host name"),
        ({"name": "a..internal"}, "is no host name"),
        ({"name": "a" * 64}, "is no host name"),
        ({"name": "http://a"}, "is no host name"),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], reason: str) -> None:
    """Before any call, with the field that is wrong."""
    with pytest.raises(BadTls, match=reason):
        InstanceTls(**fields)


def test_a_file_that_cannot_be_used_is_named(world: World, tmp_path: Path) -> None:
    """An absent file and one that is no PEM, when a transport is made."""
    (tmp_path / "junk.pem").write_text("no certificate")
    for tls in (
        InstanceTls(ca=tmp_path / "absent.pem"),
        InstanceTls(ca=tmp_path / "junk.pem"),
        InstanceTls(cert=world.caller[0], key=tmp_path / "absent.pem"),
        InstanceTls(cert=world.caller[0], key=world.by_ip[1]),
    ):
        with pytest.raises(BadTls, match=r"(absent|junk|by-ip)\.\w+ cannot be used"):
            tls.context()


def command(fake: FakeNacos, cache: Path, environ: dict[str, str]) -> tuple[int, str, str]:
    """Run `nacos-call models/` against the server in memory."""
    out, err = io.StringIO(), io.StringIO()
    everything = {"NACOS_CACHE_DIR": str(cache), **environ}
    status = run(parser().parse_args(["models/"]), everything, out, err, connect=fake.connect)
    return status, out.getvalue(), err.getvalue()


def test_the_command(fake: FakeNacos, world: World, tmp_path: Path) -> None:
    """CALL_TLS_CA, CALL_TLS_CERT, CALL_TLS_KEY and CALL_TLS_NAME are the trust of `nacos-call`."""
    environ = {
        "CALL_TLS_CA": str(world.ours.certificate),
        "CALL_TLS_CERT": str(world.caller[0]),
        "CALL_TLS_KEY": str(world.caller[1]),
        "CALL_TLS_NAME": "{service}.internal",
    }
    with listening("one", world.by_name, ask=world.ours.certificate) as one:
        fake.put_instance("models", one.instance(**SECURE))
        status, out, _ = command(fake, tmp_path, environ)
        assert (status, json.loads(out)) == (0, {"from": "one", "caller": "caller"})
        status, _, err = command(fake, tmp_path, {})
        assert status == 3
        assert "certificate verify failed" in err


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"CALL_TLS_CA": "/no/such.pem"}, "authority /no/such.pem cannot be used"),
        ({"CALL_TLS_KEY": "a.key"}, "belong together"),
        ({"CALL_TLS_NAME": "a b"}, "'a b' is no host name"),
    ],
)
def test_a_bad_setting_of_the_command_is_wrong_use(
    fake: FakeNacos, tmp_path: Path, environ: dict[str, str], reason: str
) -> None:
    """One line that names the settings and the reason."""
    status, _, err = command(fake, tmp_path, environ)
    assert (status, err.count("\n")) == (2, 1)
    assert "CALL_TLS_CA" in err
    assert reason in err
