"""An instance is announced, and asked for its health, where it listens, whichever the families."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from nacos_client import NacosSettings
from nacos_client.address import locator
from service_kit import ProcessSettings, bind, read_env
from stack import ROOT

BY_IPV4, BY_IPV6 = "127.0.0.1:8848", "[::1]:8848"


@pytest.fixture(autouse=True)
def _ipv6() -> None:
    """Skip on a machine without IPv6: there is one family only."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")


@pytest.fixture(params=["", "0.0.0.0", "::", "127.0.0.1", "localhost", "::1"])  # noqa: S104
def listener(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """The socket of a service, for each form of HOST; the first is the default."""
    for name, value in (("SERVICE_NAME", "models"), ("PORT", "1"), ("HOST", request.param)):
        monkeypatch.setenv(name, value)
    (settings,) = read_env(ProcessSettings)
    (sock,) = bind(settings.host, 0)
    with closing(sock):
        sock.listen()
        yield sock


def answers(ip: str, port: int) -> bool:
    """Return whether somebody listens there."""
    try:
        socket.create_connection((ip, port), timeout=10).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("server", [BY_IPV4, BY_IPV6])
def test_the_announced_address_is_one_at_which_the_instance_listens(
    listener: socket.socket, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nacos that is reached by IPv6 alone does not make an instance of IPv4 announce IPv6."""
    monkeypatch.setenv("NACOS_SERVER_ADDR", server)
    _, settings = read_env(ProcessSettings, NacosSettings)
    assert answers(locator(settings)(), listener.getsockname()[1])


@pytest.mark.parametrize("advertised", ["127.0.0.1", "127.0.0.2", "::1"])
def test_an_own_address_at_which_the_instance_does_not_listen_ends_the_start(
    listener: socket.socket,
    advertised: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Code 2, and one line that says what to set; an address at which it listens is announced."""
    monkeypatch.setenv("ADVERTISE_IP", advertised)
    if answers(advertised, listener.getsockname()[1]):
        _, settings = read_env(ProcessSettings, NacosSettings)
        assert locator(settings)() == advertised
    else:
        with pytest.raises(SystemExit) as end:
            read_env(ProcessSettings, NacosSettings)
        (line,) = capsys.readouterr().err.splitlines()
        assert end.value.code == 2
        assert f"ADVERTISE_IP={advertised} is not where HOST=" in line


@contextmanager
def serving(sock: socket.socket, status: int) -> Iterator[None]:
    """Answer every GET on a bound socket with a status, which is the text too."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(str(status).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = sock
    server.server_activate()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def strangers(port: int) -> Iterator[None]:
    """Listen with unready servers on the port of each loopback address that is free."""
    with ExitStack() as stack:
        for family, ip in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                sock = stack.enter_context(closing(socket.create_server((ip, port), family=family)))
            except OSError:  # the service is there
                continue
            stack.enter_context(serving(sock, 503))
        yield


def checked(**variables: str) -> subprocess.CompletedProcess[str]:
    """Run the health check of the images with these variables of theirs."""
    ours = ("HOST", "PORT", "GATEWAY_ADMIN_HOST", "GATEWAY_ADMIN_PORT")
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    argv = [sys.executable, str(ROOT / "deploy" / "healthcheck.py")]
    return subprocess.run(
        argv, env={**environ, **variables}, capture_output=True, text=True, check=False
    )


def test_an_image_asks_for_health_where_its_service_listens(listener: socket.socket) -> None:
    """For each HOST, and though another server has that port of the other family."""
    host, port = os.environ["HOST"], str(listener.getsockname()[1])
    with serving(listener, 200), strangers(int(port)):
        for variables in (
            {"HOST": host, "PORT": port},
            {"GATEWAY_ADMIN_HOST": host, "GATEWAY_ADMIN_PORT": port, "PORT": "1"},
        ):
            ran = checked(**variables)
            assert (ran.returncode, ran.stdout.strip()) == (0, "200"), ran.stdout + ran.stderr


def test_an_image_is_unhealthy_while_its_service_is_not_ready() -> None:
    """What the engine shows of it is the service's own answer, or why there is none."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        with serving(sock, 503):
            unready = checked(PORT=str(port))
    nobody = checked(PORT=str(port))

    assert (unready.returncode, unready.stdout.strip()) == (1, "503")
    assert nobody.returncode == 1
    assert f"127.0.0.1 port {port}: " in nobody.stdout
