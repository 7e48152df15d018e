"""Requirements on the fields that follow a request."""

import pytest
from service_kit import REQUEST_ID, TRACEPARENT

TRACE, PARENT = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


def test_a_valid_traceparent_names_its_trace():
    """Version, trace, parent and flags, in lower-case hexadecimal."""
    found = TRACEPARENT.fullmatch(b"00-%b-%b-01" % (TRACE, PARENT))

    assert found is not None
    assert found[1] == TRACE


@pytest.mark.parametrize(
    "field",
    [
        b"ff-%b-%b-01" % (TRACE, PARENT),
        b"00-%b-%b-01" % (b"0" * 32, PARENT),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-01" % (TRACE.upper(), PARENT),
        b"00-%b-%b-01-more" % (TRACE, PARENT),
        b"",
    ],
)
def test_an_invalid_traceparent_names_none(field: bytes):
    """W3C Trace Context 3.2.2: such a field is ignored, by the services as by the gateway."""
    assert TRACEPARENT.fullmatch(field) is None


@pytest.mark.parametrize("field", [b"", b"a" * 129, b"a b", b"a\nb", b"\xff", b"a/b"])
def test_a_request_id_is_safe_wherever_it_is_written(field: bytes):
    """No spaces, no line ends, nothing endless."""
    assert REQUEST_ID.fullmatch(field) is None
    assert REQUEST_ID.fullmatch(b"0a-Z._9") is not None
