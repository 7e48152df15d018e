"""An instance, however its registration writes what it says."""

from ipaddress import IPv6Address

import pytest
from failover import Instance, in_brackets, without_brackets
from hypothesis import given, strategies as st


@pytest.mark.parametrize(
    ("listed", "ip", "address"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1:80"),
        ("::1", "::1", "[::1]:80"),
        ("[::1]", "::1", "[::1]:80"),
        ("[2001:db8:0:0:0:0:0:1]", "2001:db8:0:0:0:0:0:1", "[2001:db8:0:0:0:0:0:1]:80"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"),
        ("models.internal", "models.internal", "models.internal:80"),
    ],
)
def test_an_address_is_the_same_however_nacos_delivers_it(listed, ip, address):
    """Sockets take an IPv6 literal without brackets; before a port it stands in them."""
    instance = Instance(listed, 80)
    assert (instance.ip, instance.address) == (ip, address)
    assert instance == Instance(ip, 80)


@given(st.integers(0, 2**128 - 1).map(IPv6Address).map(str))
def test_brackets_come_and_go(literal):
    """Both directions may be applied twice, and undo each other."""
    bracketed = in_brackets(literal)
    assert in_brackets(bracketed) == bracketed == f"[{literal}]"
    assert without_brackets(bracketed) == without_brackets(literal) == literal


@pytest.mark.parametrize(
    ("said", "secure"),
    [("true", True), ("True", True), ("TRUE", True), ("false", False), ("1", False), ("", False)],
)
def test_secure_is_read_as_java_reads_it(said, secure):
    """`Boolean.parseBoolean` knows one word, in any case."""
    assert Instance("192.0.2.1", 80, metadata={"secure": said}).secure is secure


def test_an_instance_that_says_nothing_is_not_secure():
    """Without the word there is no TLS."""
    assert not Instance("192.0.2.1", 80).secure
