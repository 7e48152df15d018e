"""The faults: the beginning and the end of each, and the gateways to which it can happen."""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from stack.waiting import wait_until

from benchmarks.failover import backend
from benchmarks.failover.network import cut, mend
from benchmarks.failover.world import HOSTS, World, roll
from benchmarks.gateway.peers import ENVOY, GATEWAY, HAPROXY, NGINX, SPRING
from benchmarks.measure.process import family

EVERYONE = (GATEWAY, SPRING, NGINX, HAPROXY, ENVOY)
DISCOVERING = (GATEWAY, SPRING)
RELOAD = {GATEWAY: signal.SIGHUP, NGINX: signal.SIGHUP, HAPROXY: signal.SIGUSR2}
"""The signal by which a gateway replaces its workers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        begin: brings the fault about; the fault counts from the call.
        end: undoes the fault.
        gateways: those that the fault concerns.
        bad: hosts that traffic should leave.
        seconds: duration of the fault; None: as long as `begin` takes.
    """

    name: str
    begin: Callable[[World], None]
    end: Callable[[World], None] = lambda _: None
    gateways: tuple[str, ...] = EVERYONE
    bad: tuple[str, ...] = ()
    seconds: float | None = 8.0


def _one(number: signal.Signals) -> Callable[[World], None]:
    return lambda world: world.instances[0].signal(number)


def _mode(mode: str) -> Callable[[World], None]:
    return lambda world: world.instances[0].behave(mode)


def _restart_one(world: World) -> None:
    world.instances[0].process.wait(30)
    world.instances[0].start()


def _partition(world: World) -> None:
    for instance in world.instances[:2]:
        cut(instance.host)


def _mend(world: World) -> None:
    for instance in world.instances[:2]:
        mend(instance.host)


def _restart_nacos(world: World) -> None:
    """Kill Nacos and start it until it stays: after a crash its database may not open in time."""
    world.nacos.kill()
    for last in (False, False, True):
        world.nacos.start()
        try:
            world.nacos.wait_ready()
        except RuntimeError:
            if last:
                raise
        else:
            return


def _flap(world: World) -> None:
    """Take all instances out of Nacos for a moment while they serve: a push of an empty list."""
    for instance in world.instances:
        instance.behave(backend.WITHDRAWN)
    time.sleep(1.0)
    for instance in world.instances:
        instance.behave(backend.ANNOUNCED)


def _reload(world: World) -> None:
    """Have the gateway replace its workers; return when all old workers have ended."""
    pid = world.gateway.pid
    old = set(family(pid)) - {pid}
    world.gateway.signal(RELOAD[world.gateway_name])
    wait_until(lambda: old.isdisjoint(family(pid)), seconds=60, what="all old workers have ended")


ONE = HOSTS[:1]
KILLED = Fault("instance killed (SIGKILL)", _one(signal.SIGKILL), _restart_one, bad=ONE)
FROZEN = Fault("instance frozen (SIGSTOP)", _one(signal.SIGSTOP), _one(signal.SIGCONT), bad=ONE)
STOPPED = Fault("instance stopped (SIGTERM)", _one(signal.SIGTERM), _restart_one, bad=ONE)
ROLLED = Fault("all instances restarted in turn", lambda world: roll(world.instances), seconds=None)
UNAVAILABLE = Fault(
    "one instance answers 503", _mode(backend.UNAVAILABLE), _mode(backend.WELL), bad=ONE
)
SLOW = Fault("one instance slow (1 s)", _mode(backend.SLOW), _mode(backend.WELL), bad=ONE)
RESETTING = Fault(
    "one instance executes, then resets", _mode(backend.RESETTING), _mode(backend.WELL), bad=ONE
)
PARTITIONED = Fault("two of three cut off", _partition, _mend, bad=HOSTS[:2])
NACOS_RESTARTED = Fault(
    "Nacos killed and restarted", _restart_nacos, gateways=DISCOVERING, seconds=None
)
NACOS_FROZEN = Fault(
    "Nacos frozen (SIGSTOP)",
    lambda world: world.nacos.pause(),
    lambda world: world.nacos.resume(),
    DISCOVERING,
)
EMPTY_PUSH = Fault("Nacos pushes an empty list", _flap, gateways=DISCOVERING)
GATEWAY_ROLLED = Fault("gateway's workers replaced", _reload, gateways=tuple(RELOAD), seconds=None)

ALL = (KILLED, FROZEN, STOPPED, ROLLED, UNAVAILABLE, SLOW, RESETTING, PARTITIONED,
       NACOS_RESTARTED, NACOS_FROZEN, EMPTY_PUSH, GATEWAY_ROLLED)  # fmt: skip
SHORT = (KILLED, FROZEN, STOPPED, UNAVAILABLE, RESETTING, EMPTY_PUSH)
