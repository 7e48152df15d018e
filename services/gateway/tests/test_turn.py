"""The writes of one turn leave together: in order, whole, before what ends a connection."""

import asyncio
from typing import Any

import pytest
from gateway.http.turn import MOST_HELD, Turn, TurnTransport
from hypothesis import given, strategies as st

pytestmark = pytest.mark.anyio


class Recorder:
    """A transport that notes what reaches it, in order: bytes, and the names of other calls."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self.writes = 0
        self.closing = False

    def write(self, data: bytes) -> None:
        """Note bytes."""
        self.writes += 1
        if self.sent and isinstance(self.sent[-1], bytes):
            self.sent[-1] += data
        else:
            self.sent.append(data)

    def writelines(self, pieces: list[bytes]) -> None:
        """Note bytes in pieces."""
        self.write(b"".join(pieces))

    def close(self) -> None:
        """Note the end."""
        self.closing = True
        self.sent.append("close")

    def abort(self) -> None:
        """Note the cut."""
        self.closing = True
        self.sent.append("abort")

    def write_eof(self) -> None:
        """Note the half close."""
        self.sent.append("eof")

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self.closing

    def get_write_buffer_size(self) -> int:
        """Hold nothing."""
        return 0


STEPS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40),
        st.integers(1, 3 * MOST_HELD).map(lambda size: b"x" * size),
        st.sampled_from(["turn", "turn", "eof"]),
    ),
    max_size=20,
)


async def act(steps: list[bytes | str], transport: Any, *, turns: bool) -> None:
    for step in steps:
        if isinstance(step, bytes):
            transport.write(step)
        elif step == "turn" and turns:
            await asyncio.sleep(0)
        elif step == "eof":
            transport.write_eof()


@given(steps=STEPS, end=st.sampled_from(["close", "nothing"]))
async def test_everything_leaves_in_order_and_whole(steps: list[bytes | str], end: str):
    """As if each write went out at once; when a turn ends, nothing is held."""
    at_once, later = Recorder(), Recorder()
    transport = TurnTransport(later, Turn())
    await act(steps, at_once, turns=False)
    await act(steps, transport, turns=True)
    if end == "close":
        at_once.close()
        transport.close()
    else:
        await asyncio.sleep(0)

    assert later.sent == at_once.sent
    assert transport.get_write_buffer_size() == 0


@given(steps=STEPS)
async def test_an_abort_takes_what_is_held_and_nothing_else(steps: list[bytes | str]):
    """What left in earlier turns has left; nothing leaves after the cut."""
    at_once, later = Recorder(), Recorder()
    transport = TurnTransport(later, Turn())
    await act(steps, at_once, turns=False)
    await act(steps, transport, turns=True)
    transport.abort()
    await asyncio.sleep(0)

    *before, last = later.sent
    assert last == "abort"
    whole = b"".join(one for one in at_once.sent if isinstance(one, bytes))
    gone = b"".join(one for one in before if isinstance(one, bytes))
    assert whole.startswith(gone)
    assert len(whole) - len(gone) < MOST_HELD


@given(sizes=st.lists(st.integers(1, MOST_HELD), max_size=20))
async def test_the_limit_of_what_is_held_is_kept(sizes: list[int]):
    """Held bytes count as not sent, and there are never more than the limit."""
    transport = TurnTransport(Recorder(), Turn())
    for size in sizes:
        transport.write(bytes(size))
        assert transport.get_write_buffer_size() < MOST_HELD


async def test_small_pieces_of_a_turn_are_one_write():
    """A head, and the first bytes of a body."""
    recorder = Recorder()
    transport = TurnTransport(recorder, Turn())

    for piece in (b"head", b"body", b"end"):
        transport.write(piece)
    await asyncio.sleep(0)

    assert (recorder.sent, recorder.writes) == ([b"headbodyend"], 1)


class Broken(Recorder):
    """A transport that fails when it is written to."""

    def write(self, data: bytes) -> None:
        """Fail."""
        raise RuntimeError(f"{len(data)} bytes cannot be written")


async def test_transports_send_in_the_order_in_which_they_began_to_write():
    """All of one turn, each once, whatever the others do."""
    order: list[int] = []

    class Ordered(Recorder):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def write(self, data: bytes) -> None:
            super().write(data)
            order.append(self.number)

    turn = Turn()
    transports = [TurnTransport(Ordered(number), turn) for number in range(3)]
    for number in (2, 0, 1, 0, 2):
        transports[number].write(b"x")
    transports[0].flush()
    await asyncio.sleep(0)

    assert order == [0, 2, 1]


async def test_a_transport_that_fails_takes_nothing_from_the_others():
    """What they hold leaves all the same, and the loop is told of the error."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    turn, before, after = Turn(), Recorder(), Recorder()
    for one in (before, Broken(), after):
        TurnTransport(one, turn).write(b"x")
    for _ in range(2):
        await asyncio.sleep(0)

    assert (before.sent, after.sent) == ([b"x"], [b"x"])
    assert [str(one["exception"]) for one in told] == ["1 bytes cannot be written"]
