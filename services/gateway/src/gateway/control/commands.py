"""The commands that a worker carries out for the admin port, and the state it reports.

The admin port may be in another process than the workers, so all values survive JSON.
"""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

from nacos_client import Watched

from gateway.control.documented import documented
from gateway.control.explanation import Question, explain
from gateway.control.instances import describe_instance
from gateway.control.orders import OrdersDocument, changes, listed
from gateway.control.places import places
from gateway.control.summary import summarised
from gateway.downstream.listener import DataPort
from gateway.proxy.context import ProxyContext
from gateway.routing.limits import Ledger
from gateway.routing.table import Table
from gateway.telemetry.access_log import AccessLog
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.service import Service

MAX_OUT = 500
"""Ejected instances that are told each second; of further ones only the count is known."""
NEWS_SECONDS = 15.0
"""Seconds for which an event is told again with each report, so that a missed one loses nothing."""
NOBODY: Mapping[str, str] = MappingProxyType({})

_log = logging.getLogger(__name__)


class Worker:
    """One data path, as an operator sees it."""

    def __init__(
        self,
        context: ProxyContext,
        directory: NacosDirectory,
        port: DataPort,
        watched: Watched[Table],
        log: AccessLog | None,
        *,
        orders: Watched[OrdersDocument],
        ledger: Ledger,
    ) -> None:
        """Follow the orders that are in force, and those that come.

        Args:
            context: of the data path.
            directory: its services.
            port: its data port.
            watched: its routes.
            log: its access log.
            orders: started.
            ledger: where the limits of its routes count.
        """
        self.context = context
        self._watched = watched
        self._orders = orders
        self._followed = OrdersDocument()
        self._ledger = ledger
        self.directory = directory
        self._port = port
        self._log = log
        self.follow(orders.value)
        orders.subscribe(self.follow)

    def ask(self, command: Mapping[str, Any]) -> Any:
        """Carry out one command and return its answer."""
        match command:
            case {"do": "state" | "counters" | "drained" as report}:
                return self._report(report)
            case {"do": "leave"}:
                self._port.leave()
                return True
            case {"do": "keep", "drained": dict(drained)}:
                self.keep_drained(drained)
                return True
            case {"do": "services" | "overview" | "explain" | "documented" | "places"}:
                return self._shown(command)
            case {"do": "routes"}:
                return self._routes()
            case {"do": do, "service": str(name), "instance": str(address)}:
                service = self.directory.services.get(name)
                if service is None:
                    return False
                if do == "drain":
                    return _drain(service, address, drained=bool(command["drained"]))
                return service.balancer.restore(address, self.context.clock())
            case _:
                raise ValueError(f"unknown command {command}")

    def _report(self, name: str) -> Any:
        """Return what the supervisor asks for."""
        reports = {"state": self.describe, "counters": self.counters, "drained": self.drained}
        return reports[name]()

    def _routes(self) -> dict[str, Any]:
        """Return the routes in force, the state of their document, and its wrong line, if any."""
        rejection = self._watched.state.rejection
        line = (rejection.line, rejection.text) if rejection and rejection.line else None
        told = {**self._watched.plain_state, "rejected_line": line}
        return {**told, **self.context.table.describe()}

    def _shown(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a reader of the admin port asks for, which changes nothing."""
        match command:
            case {"do": "explain"}:
                return explain(self.context, self.directory, Question.of(command))
            case {"do": "overview", "services": list(names)}:
                return summarised(self.context, self.directory, map(str, names))
            case {"do": "documented"}:
                return documented(self.context, self.directory)
            case {"do": "places", "services": list(names)}:
                return places(self.directory, map(str, names))
            case _:
                return self.services()

    def follow(self, orders: OrdersDocument) -> None:
        """Carry out the orders that are new in a document, and take back those that are gone."""
        before, self._followed = self._followed, orders
        todo = changes(before, orders)
        givers = listed(orders.drained)
        for name, address in todo.drain:
            self.keep_drained({name: [address]})
            self._told("instance_drained", name, address, givers[name, address].model_dump())
        for name, address in todo.undrain:
            for service in self.directory.named(name):
                service.balancer.drain(address, drained=False)
            self._told("instance_let_back", name, address)
        givers = listed(orders.restored)
        for name, address in todo.restore:
            named, now = self.directory.named(name), self.context.clock()
            ended = [service.balancer.restore(address, now) for service in named]
            if any(ended):
                self._told("ejection_ended", name, address, givers[name, address].model_dump())

    @staticmethod
    def _told(event: str, service: str, address: str, giver: Mapping[str, str] = NOBODY) -> None:
        _log.info(event, extra={"service": service, "instance": address, **giver})

    def drained(self) -> dict[str, list[str]]:
        """Return the addresses that only this gateway keeps out of traffic, by service.

        Those of the orders in Nacos come to every worker from there.
        """
        orders = self._followed.drained
        kept = {
            name: [one for one in service.balancer.drained() if one not in orders.get(name, ())]
            for name, service in self.directory.services.items()
        }
        return {name: addresses for name, addresses in kept.items() if addresses}

    def keep_drained(self, drained: Mapping[str, Iterable[str]]) -> None:
        """Drain the instances that another worker was told to drain, known here or not yet."""
        self.directory.expect(drained, self.context.clock())
        for name, addresses in drained.items():
            for service in self.directory.named(name):
                service.balancer.keep_drained(addresses)

    def services(self) -> dict[str, Any]:
        """Describe every followed service and its instances."""
        now = self.context.clock()
        ages = self.directory.ages()
        return {
            name: {
                "known": service.known,
                "age_seconds": round(ages[name], 1) if name in ages else None,
                "retry_budget": round(service.balancer.budget.balance(now), 1),
                "queued": len(service.queue),
                "instances": _instances(service, now),
            }
            for name, service in self.directory.services.items()
            if not service.absent and name not in self.directory.own
        }

    def counters(self) -> dict[str, Any]:
        """Return what has happened: lists of label values followed by the number.

        That is what the end of this worker would lose, and is asked for every second: its size
        depends on what was called, not on what Nacos lists.
        """
        counters = self.context.counters
        followed = self.directory.services.values()
        return {
            "unknown": [
                name
                for name, one in self.directory.services.items()
                if one.expected and not one.known
            ],
            "requests": [
                (route, service, f"{status}xx", result, count)
                for (route, service, status, result), count in counters.requests.items()
            ],
            "seconds": [(*labels, counts) for labels, counts in counters.seconds.items()],
            "attempts": [
                (s, i, o.value, count) for (s, i, o), count in counters.attempt_outcomes.items()
            ],
            "server_errors": [(*labels, count) for labels, count in counters.server_errors.items()],
            "stops": [(s, reason.value, count) for (s, reason), count in counters.stops.items()],
            "hedges": [(*labels, count) for labels, count in counters.hedges.items()],
            "shadow": [(*labels, count) for labels, count in counters.shadows.items()],
            "ejections": [
                (s.name, c.value, count)
                for s in followed
                for c, count in s.balancer.ejected.items()
                if count
            ],
            "refused_connections": [(self._port.over_limit,)],
            "access_log_dropped": [(self._log.dropped if self._log else 0,)],
            "news": self.news(),
        }

    def news(self) -> dict[str, Any]:
        """Return what has changed lately, for who writes it down: the console's timeline."""
        lately = time.time() - NEWS_SECONDS
        state = self._watched.state
        out = (
            (service.name, member.address, member.ejection.cause.value)
            for service in self.directory.services.values()
            for member in service.balancer.out
            if member.ejection.cause is not None
        )
        return {
            "pid": os.getpid(),
            "moves": [
                (move.at, move.service, move.address, move.came)
                for move in self.directory.moves
                if move.at >= lately
            ],
            "out": list(islice(out, MAX_OUT)),
            "document": {
                "version": state.version,
                "source": state.source,
                "at": state.applied_at,
                "rejected": None
                if state.rejection is None
                else (state.rejection.version, state.rejection.reason, state.rejection.at),
            },
        }

    def describe(self) -> dict[str, Any]:
        """Return counters and gauges: lists of label values followed by the number."""
        now = self.context.clock()
        present = [s for s in self.directory.services.values() if not s.absent]
        members = [(s, m) for s in present for m in s.balancer.members.values()]
        where = [(s.name, m.instance.address, m) for s, m in members]
        pools = [(s.name, m.instance.address, s.pools[m]) for s, m in members]
        return self.counters() | {
            "ejections": [
                (s.name, c.value, count) for s in present for c, count in s.balancer.ejected.items()
            ],
            "exemplars": [
                (*labels, *exemplar) for labels, exemplar in self.context.counters.exemplars.items()
            ],
            "retry_budget": [(s.name, s.balancer.budget.balance(now)) for s in present],
            "discovery_age_seconds": list(self.directory.ages().items()),
            "in_flight": [(s, i, m.in_flight) for s, i, m in where],
            "ewma_seconds": [(s, i, m.cost) for s, i, m in where],
            "instance_ejected": [(s, i, int(m.ejection.cause is not None)) for s, i, m in where],
            "instance_drained": [(s, i, int(m.drained)) for s, i, m in where],
            "orders_followed": [(self._orders.state.version, 1)],
            "limit_gateways": [(self._ledger.gateways[0],)],
            "pool_connections": [
                entry
                for s, i, pool in pools
                for entry in (
                    (s, i, "idle", len(pool.idle)),
                    (s, i, "busy", pool.open - len(pool.idle)),
                )
            ],
            "client_connections": [(len(self._port.connections),)],
            "exchanges": [(len(self.context.active),)],
        }


def _drain(service: Service, address: str, *, drained: bool) -> bool:
    """Keep an instance out of traffic, or let it back; one drained in advance need not be there."""
    in_advance = address in service.balancer.drained()
    return service.balancer.drain(address, drained=drained) or in_advance


def _instances(service: Service, now: float) -> list[dict[str, Any]]:
    preferred = set(service.balancer.preferred)
    return [
        describe_instance(service, member, now) | {"preferred": member in preferred}
        for member in service.balancer.members.values()
    ]
