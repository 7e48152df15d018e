"""Bodies that come compressed, and which answers go so."""

import gzip
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, strategies as st
from service_kit import Problem
from service_kit.content_codings import MOST_MEMBERS, Unpacker, accepts_gzip, coding_of

LIMIT = 100_000
PACK = {b"gzip": gzip.compress, b"x-gzip": gzip.compress, b"deflate": zlib.compress}
bodies = st.binary(max_size=300) | st.integers(0, LIMIT).map(lambda size: b"a" * size)


def unpacked(packed: bytes, coding: bytes = b"gzip", size: int = 7, limit: int = LIMIT) -> bytes:
    """Return a body that arrives in parts of `size` bytes."""
    unpacker = Unpacker(coding, limit)
    parts = [unpacker.feed(packed[at : at + size]) for at in range(0, len(packed), size)]
    unpacker.end()
    return b"".join(parts)


@given(bodies, st.sampled_from(sorted(PACK)), st.integers(1, 2000))
def test_what_is_packed_comes_out(body, coding, size):
    """A body is the same after its coding, however it arrives in parts."""
    assert unpacked(PACK[coding](body), coding, size) == body


@given(st.lists(bodies.map(lambda body: body[:500]), min_size=1, max_size=5), st.integers(1, 100))
def test_members_are_one_body(parts, size):
    """Files one after the other are one (RFC 1952, 2.2)."""
    assert unpacked(b"".join(map(gzip.compress, parts)), size=size) == b"".join(parts)


@given(bodies, st.data())
def test_a_part_is_no_body(body, data):
    """Any part of a compressed body is refused, and any byte that follows it."""
    packed = gzip.compress(body)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for wrong in (packed[:cut], packed + b"\0"):
        with pytest.raises(Problem) as caught:
            unpacked(wrong)
        assert caught.value.status == 400
        assert "Content-Encoding" in caught.value.detail


@given(st.binary(min_size=1, max_size=50), st.sampled_from(sorted(PACK)))
def test_whatever_bytes_come_are_no_accident(data, coding):
    """Bytes of no coding are 400."""
    with pytest.raises(Problem) as caught:
        unpacked(data, coding)
    assert caught.value.status == 400


@pytest.mark.parametrize("over", [0, 1])
def test_the_limit_is_that_of_a_plain_body(over):
    """A body of the limit is taken, and of a byte more is not."""
    packed = gzip.compress(b"a" * (LIMIT + over))
    if not over:
        assert len(unpacked(packed)) == LIMIT
        return
    with pytest.raises(Problem) as caught:
        unpacked(packed)
    assert (caught.value.status, caught.value.extra["limit_bytes"]) == (413, LIMIT)


def test_a_bomb_takes_no_memory():
    """What unpacks to a gigabyte is given up after the limit, wherever the bytes are."""
    member = gzip.compress(b"\0" * 2**20)
    for bomb in (member * 1000, zlib.compress(b"\0" * 2**26)):
        tracemalloc.start()
        with pytest.raises(Problem) as caught:
            unpacked(bomb, b"gzip" if bomb.startswith(member) else b"deflate", len(bomb))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert caught.value.status == 413
        assert peak < 5 * LIMIT + 2 * len(bomb)


def test_a_mass_of_empty_members_takes_no_time():
    """Each member costs time however empty: no more than a hundred are opened."""
    packed = gzip.compress(b"") * 100_000
    began = time.process_time()
    with pytest.raises(Problem, match=f"bytes follow {MOST_MEMBERS} whole files"):
        unpacked(packed, size=len(packed))
    assert time.process_time() - began < 1


@pytest.mark.parametrize("coding", ["identity", "Identity", " IDENTITY ", ""])
def test_a_plain_body_has_no_coding(coding):
    """Names of codings have no case."""
    assert coding_of({b"content-encoding": coding.encode()}) is None
    assert coding_of({}) is None


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "zstd", "compress"])
def test_another_coding_is_415(coding):
    """What cannot be unpacked is refused, and the codings that can be are named."""
    with pytest.raises(Problem, match="gzip") as caught:
        coding_of({b"content-encoding": coding.encode()})
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("asked", "gets"),
    [
        ("", False),
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("xgzip", False),
        ("*", False),
    ],
)
def test_who_asks_for_gzip_gets_it(asked, gets):
    """A weight of nought is a refusal (RFC 9110, 12.4.2); for HEAD there is nothing to pack."""
    fields = {b"accept-encoding": asked.encode()} if asked else {}
    assert accepts_gzip({"method": "POST", "fields": fields}) is gets
    assert not accepts_gzip({"method": "HEAD", "fields": fields})
