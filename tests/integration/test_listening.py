"""An instance is announced where it listens, whichever families of addresses it meets."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from nacos_client import NacosSettings
from nacos_client.address import locator
from service_kit import ProcessSettings, bind, read_env

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
