"""Where a password, a token and a secret key go, and where they do not."""

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from failover import Instance
from nacos_client import Denied, NacosError, NacosSettings, Refused
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.session import SdkSession
from nacos_client.ports import ServiceKey
from pydantic import SecretStr

pytestmark = pytest.mark.anyio

PASSWORD, TOKEN, KEY = "pass-hidden", "token-hidden", "key-hidden"
SERVICE = ServiceKey("models", "DEFAULT_GROUP")


@dataclass
class Heard:
    """What a server was sent."""

    lines: list[str] = field(default_factory=list)
    bodies: list[dict[str, list[str]]] = field(default_factory=list)
    headers: list[Message] = field(default_factory=list)


STATE = {"code": 0, "data": {"version": "3.1.0"}}
"""The answer of a server of 3.x to who asks what it is."""


@contextmanager
def server(status: int, body: bytes | None = None) -> Iterator[tuple[str, Heard]]:
    """Run an HTTP server that gives a token, or refuses with a status.

    Args:
        status: of every answer but the one that tells the version.
        body: default: a token with 200, else the page that the web server of 3.x makes.
    """
    heard = Heard()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            heard.lines.append(self.requestline)
            heard.headers.append(self.headers)
            heard.bodies.append(
                parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            )
            self.send_response(status)
            self.end_headers()
            page = {"status": status, "error": "Internal Server Error", "path": self.path}
            usual = {"accessToken": TOKEN} if status == 200 else page | {"accessToken": TOKEN}
            self.wfile.write(json.dumps(usual).encode() if body is None else body)

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(STATE).encode())

        do_POST = do_PUT = answer  # noqa: N815  (names that the library asks for)

        def log_message(self, *_: object) -> None:
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"127.0.0.1:{listening.server_port}", heard
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def session(address: str) -> SdkSession:
    settings = NacosSettings(
        server_addr=address,
        username="somebody",
        password=SecretStr(PASSWORD),
        access_key="public",
        secret_key=SecretStr(KEY),
    )
    return SdkSession(settings, "test", Administration(settings))


def told(caplog: pytest.LogCaptureFixture) -> str:
    """Spell out everything that was logged, tracebacks too."""
    spell = logging.Formatter("%(message)s %(args)s").format
    return "\n".join(f"{spell(record)} {record.__dict__}" for record in caplog.records)


async def test_secrets_travel_in_bodies_and_headers(caplog: pytest.LogCaptureFixture) -> None:
    """The password in the login's body, the token in a header; neither in a URL, nor in the log."""
    caplog.set_level(logging.DEBUG)
    with server(200) as (address, heard):
        await session(address).override(SERVICE, Instance("10.0.0.1", 8001))
    assert heard.bodies[0]["password"] == [PASSWORD]
    assert [each["accessToken"] for each in heard.headers] == [None, TOKEN]
    assert [line.split()[0] for line in heard.lines] == ["POST", "PUT"]
    seen = f"{heard.lines} {told(caplog)}"
    assert not [secret for secret in (PASSWORD, TOKEN, KEY) if secret in seen]


async def test_a_temporary_key_signs_what_goes_over_http(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its token and a signature travel in headers, and are not logged; the secret stays here."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "key.json"
    key = {"AccessKeyId": "STS.id", "AccessKeySecret": KEY, "SecurityToken": TOKEN}
    file.write_text(json.dumps(key))
    with server(200) as (address, heard):
        settings = NacosSettings(
            server_addr=address, credentials_file=file, signature_region="cn-hangzhou"
        )
        signing = SdkSession(settings, "test", Administration(settings))
        await signing.override(SERVICE, Instance("10.0.0.1", 8001))
    (headers,) = heard.headers
    assert (headers["ak"], headers["Spas-SecurityToken"]) == ("STS.id", TOKEN)
    assert headers["data"].endswith("@@DEFAULT_GROUP@@models")
    assert headers["signatureVersion"] == "v4"
    assert KEY not in f"{heard.lines} {heard.bodies} {headers}"
    assert not [secret for secret in (TOKEN, KEY) if secret in f"{heard.lines} {told(caplog)}"]


@pytest.mark.parametrize("status", [403, 500, 302])
async def test_a_refusal_repeats_no_secret(caplog: pytest.LogCaptureFixture, status: int) -> None:
    """Neither the error nor the log says what was refused, only who."""
    caplog.set_level(logging.DEBUG)
    refused = pytest.raises(NacosError, match=r"somebody|HTTP 302")
    with server(status) as (address, heard), refused as caught:
        await session(address).override(SERVICE, Instance("10.0.0.1", 8001))
    assert isinstance(caught.value, Denied) == (status != 302)
    assert heard.bodies[0]["password"] == [PASSWORD]
    assert "login failed" in caplog.text
    seen = f"{heard.lines} {caught.value!r} {told(caplog)}"
    assert not [secret for secret in (PASSWORD, TOKEN, KEY) if secret in seen]


@pytest.mark.parametrize(
    "body", [b"", b"<html>Bad Gateway</html>", b'{"code": 30000, "message": "server error"}']
)
async def test_a_failing_server_is_no_wrong_password(body: bytes) -> None:
    """Nacos or a proxy that answers a login with 500 is told as such: the password may be right."""
    with server(500, body) as (address, _), pytest.raises(Refused, match=r"login at .*HTTP 500"):
        await session(address).override(SERVICE, Instance("10.0.0.1", 8001))


@pytest.mark.parametrize("body", [b"caused: User somebody not found;", b"unknown user!"])
async def test_a_user_who_is_not_known_is_told_as_such(body: bytes) -> None:
    """Servers of 2.x answer such a login with 500 and a sentence."""
    refused = pytest.raises(Denied, match="refused the user 'somebody'")
    with server(500, body) as (address, _), refused:
        await session(address).override(SERVICE, Instance("10.0.0.1", 8001))
