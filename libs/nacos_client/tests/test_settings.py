"""Settings: what the environment may say, and which address follows."""

import socket

import pytest
from nacos_client import BadAddress, NacosSettings, Unreachable
from nacos_client.address import locator
from pydantic import ValidationError


def test_defaults_are_a_nacos_on_this_host() -> None:
    """Without variables it is the local server, the public namespace, no login."""
    settings = NacosSettings.from_env({"NACOS_SERVER_ADDR": "", "PATH": "/bin"})
    assert settings.servers == (("127.0.0.1", 8848),)
    assert (settings.namespace, settings.group) == ("public", "DEFAULT_GROUP")
    assert settings.username is None


def test_several_servers() -> None:
    """Comma-separated; the port may be left out; an IPv6 address stands in brackets."""
    settings = NacosSettings(server_addr="a:8858, b ,10.0.0.1:80,[::1]:8858,[2001:db8::1]")
    assert settings.servers == (
        ("a", 8858),
        ("b", 8848),
        ("10.0.0.1", 80),
        ("::1", 8858),
        ("2001:db8::1", 8848),
    )


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("NACOS_SERVER_ADDR", "http://a:8848/nacos", "is not host:port"),
        ("NACOS_SERVER_ADDR", "a:port", "is not host:port"),
        ("NACOS_SERVER_ADDR", ",", "names no server"),
        ("ADVERTISE_IP", "fe80::1%lo", "has a zone"),
        ("ADVERTISE_IP", "[eth0]", "brackets"),
        ("SERVICE_WEIGHT", "-1", "greater than or equal to 0"),
        ("SERVICE_WEIGHT", "nan", "finite"),
        ("NACOS_USERNAME", "somebody", "belong together"),
        ("NACOS_TLS_CERT", "cert.pem", "belong together"),
    ],
)
def test_a_bad_value_is_refused_with_a_reason(variable: str, value: str, reason: str) -> None:
    """Every variable is checked when it is read."""
    with pytest.raises(ValidationError, match=reason):
        NacosSettings.from_env({variable: value})


def test_secrets_are_not_shown() -> None:
    """Neither `repr` nor `str` of the settings gives them away."""
    settings = NacosSettings.from_env({"NACOS_USERNAME": "u", "NACOS_PASSWORD": "hidden-word"})
    assert "hidden-word" not in f"{settings!r} {settings}"


@pytest.mark.parametrize(
    ("given", "ip"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.7"),
    ],
)
def test_a_literal_is_taken_as_it_is(given: str, ip: str) -> None:
    """`ADVERTISE_IP` wins over the route; brackets of an IPv6 address may be written."""
    assert locator(NacosSettings(advertise_ip=given))() == ip


def test_the_route_to_nacos_decides() -> None:
    """A local server is reached from the loopback address."""
    assert locator(NacosSettings(server_addr="127.0.0.1:8848"))() == "127.0.0.1"


def test_an_interface_may_be_named() -> None:
    """`lo` is 127.0.0.1; another name is refused with those that exist."""
    assert locator(NacosSettings(advertise_ip="lo"))() == "127.0.0.1"
    names = [name for _, name in socket.if_nameindex()]
    with pytest.raises(BadAddress, match=names[0]):
        locator(NacosSettings(advertise_ip="nosuch0"))


def test_a_name_that_does_not_resolve_may_do_so_later() -> None:
    """It is no mistake of the settings: it is told when the address is asked for."""
    locate = locator(NacosSettings(server_addr="nacos.invalid:8848"))
    with pytest.raises(Unreachable, match=r"nacos\.invalid:8848.*set ADVERTISE_IP"):
        locate()


def test_any_server_that_has_a_route_tells_the_address() -> None:
    """The first name of several need not resolve."""
    assert locator(NacosSettings(server_addr="nacos.invalid,127.0.0.1"))() == "127.0.0.1"


@pytest.mark.parametrize(
    "server",
    [
        "::1",
        "2001:db8::1:8848",
        "[::1]8848",
        "[::1]:port",
        "[::1",
        "::1]",
        "[[::1]]",
        "[nacos]:8848",
        "[127.0.0.1]:8848",
        "[fe80::1%eth0]:8848",
        "nacos..invalid:8848",
        f"{'n' * 64}.invalid",
    ],
)
def test_a_server_that_no_name_can_mean_is_refused(server: str) -> None:
    """IPv6 without brackets, whose port nobody could tell, and what no resolver would look up."""
    with pytest.raises(ValidationError, match="is not host:port"):
        NacosSettings(server_addr=server)
