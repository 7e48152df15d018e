# ruff: noqa: D102  (the methods of a test's tool say by their names what they do)
"""What becomes of a provider's registration when things happen to its process."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stack.access import NacosAccess
from stack.ports import free_port
from stack.process import clean_environment
from stack.waiting import wait_until

pytestmark = [pytest.mark.nacos, pytest.mark.outage]

EJECTION_SECONDS = 45.0
"""Nacos drops a connection that is silent for 20 s within 3 s, after asking it for 5 s."""


class Provider:
    """A provider process, and what it said."""

    def __init__(
        self, access: NacosAccess, *, limit: float | str = 10.0, argv: tuple[str, ...] = ()
    ):
        self.port = free_port()
        self.access = access
        self.said: list[Mapping[str, Any]] = []
        self.process = subprocess.Popen(
            [
                *argv,
                sys.executable,
                str(Path(__file__).with_name("provider.py")),
                "models",
                str(self.port),
                str(limit),
            ],
            env={**clean_environment(), **access.environment, "ADVERTISE_IP": "127.0.0.1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.said.append(json.loads(line))

    def tell(self, command: str) -> None:
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()

    def shown(self, port: int | None = None) -> bool:
        wanted = port or self.port
        return any(i["port"] == wanted for i in self.access.instances("models"))

    def wait_shown(self, *, shown: bool, seconds: float) -> float:
        began = time.monotonic()
        wait_until(lambda: self.shown() is shown, seconds=seconds, what=f"shown={shown}")
        return time.monotonic() - began

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        self.process.stdin.close()
        self.process.stdout.close()


StartProvider = Callable[..., Provider]


@pytest.fixture
def provider(nacos: NacosAccess) -> Iterator[StartProvider]:
    """Start providers that Nacos shows when they are returned."""
    running: list[Provider] = []

    def start(**options: Any) -> Provider:
        one = Provider(nacos, **options)
        running.append(one)
        one.wait_shown(shown=True, seconds=30)
        return one

    yield start
    for one in running:
        one.end()


def test_a_killed_provider_is_gone_at_once(provider: StartProvider) -> None:
    """SIGKILL closes the connection, and that ends the registration within two seconds."""
    one = provider()
    one.process.kill()

    assert one.wait_shown(shown=False, seconds=10) < 2


def test_a_briefly_stopped_provider_stays(provider: StartProvider) -> None:
    """Five seconds of SIGSTOP are no reason to leave, nor is what the watchdog makes of them."""
    one = provider(limit=2.0)
    one.process.send_signal(signal.SIGSTOP)
    threading.Event().wait(5)
    one.process.send_signal(signal.SIGCONT)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        assert one.shown()


@pytest.mark.timeout(240)
def test_a_long_stopped_provider_comes_back(provider: StartProvider) -> None:
    """Nacos drops a provider stopped for 45 s; five seconds after it runs on it is back."""
    one = provider()
    one.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    one.wait_shown(shown=False, seconds=EJECTION_SECONDS)
    threading.Event().wait(45 - (time.monotonic() - began))
    one.process.send_signal(signal.SIGCONT)

    assert one.wait_shown(shown=True, seconds=30) < 5


def test_a_blocked_event_loop_takes_the_instance_out(provider: StartProvider) -> None:
    """Blocked for longer than its limit, the instance leaves on purpose and returns afterwards."""
    one = provider(limit=1.0)
    one.tell("block 6")

    assert one.wait_shown(shown=False, seconds=10) < 5
    assert one.wait_shown(shown=True, seconds=20) < 8


def test_a_forked_child_harms_nobody(provider: StartProvider) -> None:
    """In a child forked after the start both clients say what to do; the parent's goes on."""
    one = provider()
    one.tell("fork")
    wait_until(lambda: any("child_exit" in f for f in one.said), seconds=30, what="its end")
    said = {name: value for fact in one.said for name, value in fact.items()}

    assert said["child_exit"] == 0
    assert "start Nacos after forking" in said["inherited"]
    assert "start Nacos after forking" in said["own"]
    threading.Event().wait(4)
    assert one.shown()


def test_forked_workers_register_each_as_itself(provider: StartProvider) -> None:
    """A client made before the fork and started after it announces one instance per worker."""
    one = provider(limit="workers")
    wait_until(lambda: one.shown(one.port + 1), seconds=30, what="the second worker")
    assert one.shown()

    one.process.stdin.close()
    wait_until(
        lambda: not one.shown() and not one.shown(one.port + 1), seconds=20, what="their end"
    )


def test_a_withdrawn_instance_is_gone_when_the_call_returns(provider: StartProvider) -> None:
    """`withdraw` promises that Nacos shows it no more, and the process then ends by itself."""
    one = provider()
    one.tell("withdraw")
    wait_until(lambda: any("withdrawn" in fact for fact in one.said), seconds=10, what="its word")

    assert not one.shown()
    assert one.process.wait(10) == 0


def test_a_provider_that_may_write_nothing_works(provider: StartProvider) -> None:
    """With every write to a file failing it is registered, knows others, and says what is wrong."""
    one = provider(argv=("prlimit", "--fsize=0"))

    works_without_disk(one, "File too large")


FULL_DISK = """
mount -t tmpfs -o size=64k tmpfs "$NACOS_CACHE_DIR"
cat /dev/zero > "$NACOS_CACHE_DIR/fill" 2> /dev/null
exec "$@"
"""
"""Runs in a mount namespace of its own, which ends with the process and takes the disk with it."""


def test_a_full_disk_takes_nothing_but_the_copy_on_it(
    provider: StartProvider, tmp_path: Path
) -> None:
    """On a file system without a free byte it is registered, knows others, and says so."""
    private = ("unshare", "--mount", "--propagation", "private", "--")
    if subprocess.run(
        [*private, "mount", "-t", "tmpfs", "tmpfs", tmp_path], check=False
    ).returncode:
        pytest.skip("only who may mount can fill a disk; the limit above stands for it")
    # `clean_environment` drops the variable of this process, so the shell sets it.
    script = f"export NACOS_CACHE_DIR='{tmp_path}'\n{FULL_DISK}"
    one = provider(argv=(*private, "sh", "-c", script, "sh"))

    works_without_disk(one, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def works_without_disk(one: Provider, reason: str) -> None:
    def is_told_all() -> bool:
        last = one.said[-1] if one.said else {}
        return last.get("known") == 1 and last["disk"] and last["shown"] == "as wanted"

    wait_until(is_told_all, seconds=40, what="it is registered, knows itself and tells of the disk")
    assert reason in one.said[-1]["disk"]
    assert one.shown()
