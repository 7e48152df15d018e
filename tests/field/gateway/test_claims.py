"""Fields that say who the client is come from the gateway, or from a proxy that it trusts."""

import pytest
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import CLAIMS, HANDLED, FieldCollector, check_head
from gateway.http.request import Forwarded, common_lines


def sent(name: str, *, trusted: bool) -> bytes:
    """Return the fields that an instance gets of a request that has one such field."""
    fields = FieldCollector(HANDLED, MAX_FIELDS)
    fields.in_head = True
    for field, value in (("Host", "h"), (name.title(), "10.0.0.1"), ("X-Mine", "1")):
        fields.on_header(field.encode(), value.encode())
    head = check_head(b"GET", b"/s/x", fields, most_bytes=0, http10=False, keep_alive=True)
    peer = Forwarded(b"127.0.0.1", b"http", b"8000", trusted=trusted)
    return common_lines(
        head, peer, id_line=b"X-Request-Id: 1\r\n", via=b"gateway", upgrade=b"", prefix=b""
    )


@pytest.mark.parametrize("name", sorted(name.decode() for name in CLAIMS))
def test_a_strangers_claim_does_not_pass_and_a_trusted_proxys_does(name: str):
    """Services read X-Real-IP, X-Forwarded-Ssl and the like before X-Forwarded-For."""
    line = f"{name}: 10.0.0.1\r\n".encode()

    assert b"10.0.0.1" not in sent(name, trusted=False)
    assert line in sent(name, trusted=True)
    assert b"X-Mine: 1\r\n" in sent(name, trusted=False)


def test_forwarded_passes_from_nobody():
    """The gateway does not continue RFC 7239's field; one that it does not continue would lie."""
    assert b"10.0.0.1" not in sent("forwarded", trusted=True)
