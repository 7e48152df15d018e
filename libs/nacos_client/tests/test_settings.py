"""Settings: what the environment may say, and which address follows."""

import socket
from ipaddress import IPv4Address, IPv6Address

import psutil
import pytest
from hypothesis import example, given, strategies as st
from nacos_client import BadAddress, NacosSettings, Unreachable
from nacos_client._sdk.wire import labels_of
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
        ("NACOS_CONTEXT_PATH", "/nacos?x=1", "is no path"),
        ("NACOS_GRPC_PORT", "high", "neither a port nor"),
        ("NACOS_GRPC_PORT", "0", "neither a port nor"),
        ("NACOS_GRPC_PORT", "+57000", "above 65535"),
        ("ADVERTISE_IP", "fe80::1%lo", "has a zone"),
        ("ADVERTISE_IP", "[eth0]", "brackets"),
        ("ADVERTISE_IP", "0.0.0.0", "no address to which a caller"),  # noqa: S104
        ("ADVERTISE_IP", "0.1.2.3", "no address to which a caller"),
        ("ADVERTISE_IP", "255.255.255.255", "no address to which a caller"),
        ("ADVERTISE_IP", "224.0.0.1", "no address to which a caller"),
        ("ADVERTISE_IP", "::", "no address to which a caller"),
        ("ADVERTISE_IP", "[ff02::1]", "no address to which a caller"),
        ("ADVERTISE_IP", "fe80::7", "no address to which a caller"),
        ("ADVERTISE_IP", "::ffff:0.0.0.0", "no address to which a caller"),
        ("ADVERTISE_IP", "localhost", r"neither an IP address nor an interface .*\blo\b"),
        ("ADVERTISE_IP", "models.example", "neither an IP address nor an interface"),
        ("ADVERTISE_IP", "10.0.0.256", "neither an IP address nor an interface"),
        ("HOST", "fe80::7%lo", "link-local, .*: set ADVERTISE_IP"),
        ("NACOS_TLS_CA", "/nowhere/ca.pem", r"NACOS_TLS_\*: .*/nowhere/ca.pem cannot be used"),
        ("NACOS_TLS_CA", __file__, r"NACOS_TLS_\*: .*test_settings.py cannot be used"),
        ("NACOS_CLUSTER", "a b", "pattern"),
        ("NACOS_CLUSTER", "a_b", "pattern"),
        ("NACOS_CLUSTER", "a,b", "pattern"),
        ("NACOS_CLUSTER", "east\n", "pattern"),
        ("NACOS_CLUSTER", "a" * 65, "at most 64"),
        ("NACOS_GROUP", "a b", "pattern"),
        ("NACOS_GROUP", "A@@B", "pattern"),
        ("NACOS_GROUP", "a" * 129, "at most 128"),
        ("NACOS_NAMESPACE", "the test", "pattern"),
        ("NACOS_NAMESPACE", "a" * 65, "at most 64"),
        ("NACOS_LABELS", "app", "'app' is not key=value"),
        ("NACOS_LABELS", "app=iris,zone=", "'zone=' is not key=value"),
        ("NACOS_LABELS", "a b=1", "is not key=value"),
        ("NACOS_LABELS", "app=iris=rose", "is not key=value"),
        ("NACOS_LABELS", "app=grüße", "is not key=value"),
        ("NACOS_LABELS", "app=" + "x" * 129, "is not key=value"),
        ("NACOS_LABELS", ",", "names 0 labels"),
        ("NACOS_LABELS", ",".join(f"k{n}=v" for n in range(33)), "names 33 labels, not 1 to 32"),
        ("NACOS_LABELS", "app=a,app=b", "app has two values"),
        ("NACOS_LABELS", "ClientIp=10.0.0.1", "ClientIp is no label"),
        ("NACOS_LABELS", "Vipserver-Tag=12345678901234567", "more than 16 characters"),
        ("NACOS_CIPHER_KEY_FILE", "/nowhere/key", "_FILE=/nowhere/key cannot be read: No such"),
        ("NACOS_CIPHER_KEY_FILE", "/", "NACOS_CIPHER_KEY_FILE=/ cannot be read: Is a directory"),
        ("NACOS_CIPHER_KEY_FILE", __file__, "holds no key: write 32, 48 or 64 hexadecimal digits"),
        ("SERVICE_WEIGHT", "-1", "greater than or equal to 0"),
        ("SERVICE_WEIGHT", "nan", "finite"),
        ("NACOS_USERNAME", "somebody", "belong together"),
        ("NACOS_TLS_CERT", "cert.pem", "belong together"),
        ("NACOS_SECURITY_TOKEN", "a token", "no header can hold"),
        ("NACOS_SECURITY_TOKEN", "token", "set NACOS_ACCESS_KEY"),
        ("NACOS_SIGNATURE_REGION", "cn/hangzhou", "pattern"),
        ("NACOS_SIGNATURE_REGION", "cn-hangzhou", "set NACOS_ACCESS_KEY or NACOS_CREDENTIALS_FILE"),
    ],
)
def test_a_bad_value_is_refused_with_a_reason(variable: str, value: str, reason: str) -> None:
    """Every variable is checked when it is read."""
    with pytest.raises(ValidationError, match=reason):
        NacosSettings.from_env({variable: value})


def test_one_grpc_port_for_two_servers_of_one_host_is_refused() -> None:
    """Both would be told to listen there; an amount above each server's port is meant."""
    servers = {"NACOS_SERVER_ADDR": "a:8848,a:8858"}
    with pytest.raises(ValidationError, match="two servers on one host"):
        NacosSettings.from_env({**servers, "NACOS_GRPC_PORT": "9848"})
    settings = NacosSettings.from_env({**servers, "NACOS_GRPC_PORT": "+2000"})
    assert [settings.grpc_port(port) for _, port in settings.servers] == [10848, 10858]


def test_secrets_are_not_shown() -> None:
    """Neither `repr` nor `str` of the settings gives them away."""
    secrets = dict.fromkeys(
        ("NACOS_PASSWORD", "NACOS_SECRET_KEY", "NACOS_SECURITY_TOKEN"), "hidden-word"
    )
    settings = NacosSettings.from_env({"NACOS_USERNAME": "u", "NACOS_ACCESS_KEY": "a", **secrets})
    assert "hidden-word" not in f"{settings!r} {settings}"


def test_an_access_key_has_one_source() -> None:
    """A file beside a key of the environment would leave open which of the two is meant."""
    both = {"NACOS_ACCESS_KEY": "a", "NACOS_SECRET_KEY": "b", "NACOS_CREDENTIALS_FILE": "key.json"}
    with pytest.raises(ValidationError, match="leave one of them out"):
        NacosSettings.from_env(both)


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
    with pytest.raises(ValidationError, match=names[0]):
        NacosSettings(advertise_ip="nosuch0")


def test_an_interface_may_vanish() -> None:
    """One that was there at the start is told when the address is asked for, and may come back."""
    settings = NacosSettings(advertise_ip="lo").model_copy(update={"advertise_ip": "nosuch0"})
    with pytest.raises(BadAddress, match="nosuch0 is neither"):
        locator(settings)()


ELSEWHERE = "192.0.2.7"
"""An address of documentation (RFC 5737), which is no host's own."""


@pytest.mark.parametrize(
    ("host", "advertise_ip", "ip"),
    [
        ("127.0.0.2", None, "127.0.0.2"),
        (ELSEWHERE, None, ELSEWHERE),
        ("2001:db8::7", None, "2001:db8::7"),
        ("localhost", None, "127.0.0.1"),
        ("0.0.0.0", None, "127.0.0.1"),  # noqa: S104
        ("::", None, "127.0.0.1"),
        ("0", None, "127.0.0.1"),
        ("nosuch.invalid", None, "127.0.0.1"),
        ("127.0.0.2", "127.0.0.2", "127.0.0.2"),
        ("127.0.0.1", "lo", "127.0.0.1"),
        ("localhost", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", ELSEWHERE, ELSEWHERE),  # noqa: S104
        ("::", "2001:db8::7", "2001:db8::7"),
        ("nosuch.invalid", ELSEWHERE, ELSEWHERE),
        ("192.0.2.1", ELSEWHERE, ELSEWHERE),
        ("fe80::7%lo", "2001:db8::7", "2001:db8::7"),
    ],
)
def test_the_address_follows_host(host: str, advertise_ip: str | None, ip: str) -> None:
    """It is HOST, if that is one address; behind a NAT, `ADVERTISE_IP` may be of another host.

    HOST for all addresses, and a HOST that nobody can listen at, leave it to the route.
    """
    settings = NacosSettings(host=host, advertise_ip=advertise_ip, server_addr="127.0.0.1:8848")
    assert locator(settings)() == ip


@pytest.mark.parametrize(
    ("host", "advertise_ip"),
    [
        ("127.0.0.1", ELSEWHERE),
        ("127.0.0.1", "127.0.0.2"),
        ("localhost", ELSEWHERE),
        ("::1", "2001:db8::7"),
        (ELSEWHERE, "127.0.0.1"),
        (ELSEWHERE, "lo"),
    ],
)
def test_an_address_at_which_the_instance_does_not_listen_is_refused(
    host: str, advertise_ip: str
) -> None:
    """HOST and `ADVERTISE_IP` contradict each other: the reason names both."""
    with pytest.raises(ValidationError, match=f"ADVERTISE_IP={advertise_ip} is not .*HOST={host}"):
        NacosSettings.from_env({"HOST": host, "ADVERTISE_IP": advertise_ip})


def test_an_interface_of_several_addresses_has_host_among_them() -> None:
    """The address of the interface is then HOST, not the first."""
    own = [
        (name, [one.address for one in found if one.family == socket.AF_INET])
        for name, found in psutil.net_if_addrs().items()
    ]
    for name, addresses in own:
        for address in addresses:
            settings = NacosSettings(host=address, advertise_ip=name)
            assert locator(settings)() == address


@given(st.ip_addresses())
@example(IPv6Address("::ffff:224.0.0.0"))
@example(IPv6Address("::ffff:8.8.8.8"))
def test_any_literal_is_announced_as_it_is_or_refused(literal: IPv4Address | IPv6Address) -> None:
    """No address of one host of the Internet is refused, an IPv4 one in IPv6's spelling neither."""
    meant = (isinstance(literal, IPv6Address) and literal.ipv4_mapped) or literal
    try:
        settings = NacosSettings(advertise_ip=str(literal))
    except ValidationError:
        assert meant.is_multicast or not meant.is_global
    else:
        assert locator(settings)() == str(literal)


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


def test_labels_are_those_that_javas_client_sends() -> None:
    """Each label of the application has a prefix; the tag is a label of its own besides."""
    settings = NacosSettings.from_env({"NACOS_LABELS": "app=iris, zone=a,Vipserver-Tag=blue,"})
    connection = {"source": "sdk", "module": "naming"}

    assert settings.label_values == {"app": "iris", "zone": "a", "Vipserver-Tag": "blue"}
    assert labels_of(settings) == connection | {
        "app_app": "iris",
        "app_zone": "a",
        "app_Vipserver-Tag": "blue",
        "Vipserver-Tag": "blue",
    }
    assert labels_of(NacosSettings()) == connection
