"""Workers: several data paths on one port, a process each, started, watched and replaced.

The kernel spreads connections over one listening socket for each worker (SO_REUSEPORT). The sockets
belong to the supervisor and outlive the processes: a connection that arrives while a worker is
being replaced waits in the queue of its socket, and the next worker takes it.

The supervisor alone decides when a worker ends: SIGTERM may reach the whole group (systemd,
Ctrl-C), and workers are to serve while the supervisor withdraws and drains.
"""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from gateway.routing.limits import Ledger, memory_file, shared_ledger
from gateway.telemetry.metrics import EndedWorkers, WorkerState

FDS = "GATEWAY_WORKER_FDS"
"""Environment of a worker: its listening socket and its line to the supervisor."""
DRAINED = "GATEWAY_WORKER_DRAINED"
"""Environment of a worker: the instances, by service, that an operator has drained."""
LIMITS = "GATEWAY_WORKER_LIMITS"
"""Environment of a worker: the file in which the limits of routes count, the numbers of requests
under way that a row there has, and which of them is the worker's."""
STOP = signal.SIGUSR1
"""The signal to drain and end; the end of its line to the supervisor tells a worker the same."""
READY_SECONDS = 30.0
"""Seconds that a worker has to start."""
ANSWER_SECONDS = 2.0
"""Seconds that a worker has to answer a command."""
EXIT_SECONDS = 40.0
"""Seconds that a worker has to drain and end."""
RESPAWN_SECONDS = 0.5
"""Seconds between a failed start and the next one."""
POLL_SECONDS = 1.0
"""Seconds between two questions for the workers' states."""
LINE_BYTES = 16 * 1024 * 1024
"""Bytes of the longest command or answer."""
LAST_STATE = 0
"""The number under which a worker reports its last state, unasked, when it ends."""

_log = logging.getLogger(__name__)


class Child:
    """One worker process and the line to it."""

    def __init__(
        self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.state: WorkerState | None = None
        """The state that the worker last reported."""
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._asked = 0

    @classmethod
    async def start(
        cls, sock: socket.socket, environment: Mapping[str, str], files: Sequence[int] = ()
    ) -> "Child":
        """Start a worker on a listening socket and wait until it serves.

        Args:
            sock: bound.
            environment: of the worker.
            files: descriptors that the worker inherits beside its socket.

        Raises:
            TimeoutError: the worker does not serve within 30 s, or ended instead.
        """
        async with contextlib.AsyncExitStack() as undo:
            # A start that ends early, even by a cancellation, leaves no process and no socket.
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "gateway",
                    pass_fds=(sock.fileno(), theirs.fileno(), *files),
                    env={**environment, FDS: f"{sock.fileno()},{theirs.fileno()}"},
                )  # fmt: skip
            undo.callback(_kill, process)
            reader, writer = await asyncio.open_connection(sock=ours, limit=LINE_BYTES)
            undo.callback(writer.close)
            async with asyncio.timeout(READY_SECONDS):
                ready = await reader.readline()
            if not ready:
                raise TimeoutError("the worker ended before it was ready")
            undo.pop_all()
        return cls(process, reader, writer)

    async def ask(self, command: Mapping[str, Any]) -> Any:
        """Send a command and return the answer, None if the worker is gone or does not answer."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._turn:
                if self._writer.is_closing():
                    return None
                self._asked += 1
                self._writer.write(json.dumps([self._asked, command]).encode() + b"\n")
                while True:  # the answer to an earlier command may come late
                    number, told = await self._read()
                    if number == self._asked:
                        return told
        # uvloop raises RuntimeError for a closed line.
        except (OSError, RuntimeError, TimeoutError, ValueError):
            return None

    async def refresh(self) -> None:
        """Ask for the worker's state, and keep it if the worker answers."""
        self.state = await self.ask({"do": "state"}) or self.state

    async def refresh_counters(self) -> None:
        """Ask for the part of the worker's state that its end would lose, and keep that."""
        if self.state is None:
            await self.refresh()
        elif told := await self.ask({"do": "counters"}):
            self.state = {**self.state, **told}

    async def _read(self) -> tuple[int, Any]:
        """Read the next answer; ValueError if there is none."""
        number, told = json.loads(await self._reader.readline())
        if number == LAST_STATE:
            self.state = told or self.state
        return number, told

    async def stop(self) -> None:
        """Let the worker drain, report its last state, and end; after 40 s, kill it."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(STOP)
        try:
            async with asyncio.timeout(EXIT_SECONDS):
                await self.process.wait()
        except TimeoutError:
            _kill(self.process)
            await self.process.wait()
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(ANSWER_SECONDS), self._turn:
                while True:
                    await self._read()
        self._writer.close()


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()


class Supervisor:
    """Keeps a worker process on every socket. A `Listener` of the process runner."""

    def __init__(self, sockets: Sequence[socket.socket], environment: Mapping[str, str]) -> None:
        """Take a bound socket for each worker, and the environment that workers get."""
        self._ended = EndedWorkers()
        self._sockets = sockets
        self._environment = environment
        self._children: list[Child | None] = [None] * len(sockets)
        self._leaving: set[Child] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rolling = asyncio.Lock()
        self._starting = asyncio.Lock()
        # While workers are replaced, the old one and the new one of a socket both count, and one
        # that has just ended may not be counted out yet.
        columns = 2 * len(sockets) + 2
        self._limits = memory_file(columns)
        self._free_columns = set(range(columns))
        self.ledger = shared_ledger(self._limits, columns, 0)
        """The counts of the limits of routes, which the supervisor divides and tidies up."""

    @property
    def states(self) -> list[WorkerState]:
        """Return the state that each worker last reported, and the sum of those that ended."""
        children = {child for child in (*self._children, *self._leaving) if child is not None}
        told = [child.state for child in children if child.state is not None]
        return [*told, self._ended.describe(told)]

    def check(self) -> dict[str, Any]:
        """Return whether every worker serves, for /readyz."""
        running = sum(one is not None and one.process.returncode is None for one in self._children)
        return {"ok": running == len(self._children), "running": running}

    async def ask(self, command: Mapping[str, Any]) -> list[Any]:
        """Send a command to every worker; an order waits for a worker that is starting."""
        async with self._starting if command["do"] == "drain" else contextlib.nullcontext():
            return await self._tell(command)

    async def refresh(self) -> None:
        """Ask every worker for its state, before the states are read for metrics.

        A state lists every instance of every service that is followed, too much for every second.
        """
        await asyncio.gather(*(child.refresh() for child in self._running()))

    def _running(self) -> list[Child]:
        return [child for child in (*self._children, *self._leaving) if child is not None]

    async def _tell(self, command: Mapping[str, Any]) -> list[Any]:
        children = [child for child in self._children if child is not None]
        answers = await asyncio.gather(*(child.ask(command) for child in children))
        return [answer for answer in answers if answer is not None]

    async def open(self) -> None:
        """Start every worker; from then on SIGHUP replaces them."""
        loop = asyncio.get_running_loop()
        async with self._rolling:
            loop.add_signal_handler(signal.SIGHUP, lambda: self._spawn(self.roll))
            await asyncio.gather(*map(self._fill, range(len(self._sockets))))
        self._spawn(self._watch)

    async def roll(self) -> None:
        """Replace the workers one after the other: the new one serves before the old one drains."""
        async with self._rolling:
            for slot in range(len(self._children)):
                async with self._starting:
                    old = self._children[slot]
                    if not await self._refill(slot):
                        return
                if old is not None:
                    self._leaving.add(old)
                    await old.stop()
                    self._keep_counters(old)
            _log.info("workers_replaced", extra={"workers": len(self._children)})

    def leave(self) -> None:
        """Have the responses of every worker close their connections."""
        self._spawn(partial(self._tell, {"do": "leave"}))

    async def drain(self) -> None:
        """Let every worker drain and end."""
        for task in self._tasks:
            task.cancel()
        children = {child for child in self._children if child is not None} | self._leaving
        await asyncio.gather(*(child.stop() for child in children))

    async def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    async def _fill(self, slot: int) -> None:
        drained: dict[str, set[str]] = {}
        for told in await self._tell({"do": "drained"}):
            for service, addresses in told.items():
                drained.setdefault(service, set()).update(addresses)
        orders = json.dumps({service: sorted(those) for service, those in drained.items()})
        column = self._free_columns.pop()
        place = f"{self._limits},{self.ledger.columns},{column}"
        environment = {**self._environment, DRAINED: orders, LIMITS: place}
        try:
            child = await Child.start(self._sockets[slot], environment, [self._limits])
        except BaseException:
            self._free_columns.add(column)
            raise
        self._children[slot] = child
        self._spawn(partial(self._count_out, child, column))

    async def _count_out(self, child: Child, column: int) -> None:
        """Count the requests of a worker out of the limits of their routes, once it has ended."""
        await child.process.wait()
        self.ledger.forget(column)
        self._free_columns.add(column)

    def _keep_counters(self, child: Child) -> None:
        """Keep the counters of a worker that ended."""
        self._leaving.discard(child)
        if child.state is not None:
            self._ended.add(child.state)

    def _spawn(self, work: Callable[[], Any]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        """Replace workers that ended by themselves, and refresh the counters of all."""
        while True:
            for slot, child in enumerate(self._children):
                if child is not None and child.process.returncode is not None:
                    _log.error("worker_ended", extra={"code": child.process.returncode})
                    async with self._starting:  # not `_rolling`: an old worker takes long to end
                        if self._children[slot] is child and await self._refill(slot):
                            self._keep_counters(child)
            await asyncio.gather(*(child.refresh_counters() for child in self._running()))
            await asyncio.sleep(POLL_SECONDS)

    async def _refill(self, slot: int) -> bool:
        """Put a new worker on a socket; if its start fails, everything stays as it is."""
        try:
            await self._fill(slot)
        except (OSError, TimeoutError) as error:
            _log.error("worker_not_started", extra={"slot": slot, "reason": str(error)})
            await asyncio.sleep(RESPAWN_SECONDS)
            return False
        return True


def inherited_ledger(place: str) -> Ledger:
    """Open the ledger that the supervisor gave to a worker, as `LIMITS` has it."""
    file, columns, column = map(int, place.split(","))
    return shared_ledger(file, columns, column)


async def answer_supervisor(
    sock: socket.socket, answer: Callable[[Mapping[str, Any]], Any]
) -> None:
    """Tell the supervisor that this worker serves, then answer its commands until it is gone.

    Cancelled, it tells the last state.
    """
    reader, writer = await asyncio.open_connection(sock=sock, limit=LINE_BYTES)
    writer.write(b"{}\n")

    def tell(number: int, command: Mapping[str, Any]) -> None:
        try:
            told = answer(command)
        except Exception:  # noqa: BLE001 - an operator's question must not end a worker that serves
            _log.exception("question_failed")
            told = None
        writer.write(json.dumps([number, told]).encode() + b"\n")

    try:
        while line := await reader.readline():
            tell(*json.loads(line))
            await writer.drain()
    except asyncio.CancelledError:
        tell(LAST_STATE, {"do": "state"})
        raise
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
