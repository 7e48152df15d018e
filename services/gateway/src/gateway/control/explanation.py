"""The answer to "Where would this request go?", by the code that decides, without sending anything.

The request is read, matched and granted its terms as one from a client would be. It counts on no
limit, is in no metric, and makes nobody follow a service that no other request has named.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httptools
from failover import IDEMPOTENT_METHODS, TABLE, Outcome, Subset

from gateway.downstream.connection import reply_to
from gateway.http.framing import MAX_FIELDS
from gateway.http.heads import HANDLED, FieldCollector, Head, check_head
from gateway.http.problems import LocalReply
from gateway.proxy.admission import Admitted, granted
from gateway.proxy.context import ProxyContext
from gateway.routing.table import Split
from gateway.telemetry.records import RequestRecord
from gateway.upstream.directory import NacosDirectory
from gateway.upstream.service import Service

MAX_INSTANCES = 50
"""Instances of an answer: those that would be asked first."""


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody sends.

    Attributes:
        method: such as GET.
        target: path and query.
        fields: header fields in their order; `Host` is made up where it is absent.
    """

    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Self:
        """Make a question of plain values."""
        fields = tuple((str(name), str(value)) for name, value in plain.get("fields", ()))
        return cls(str(plain["method"]), str(plain["target"]), fields)

    def head(self) -> Head:
        """Read the request as the data port does.

        Raises:
            LocalReply: the data port would refuse it.
        """
        given = {name.lower() for name, _ in self.fields}
        fields = self.fields if "host" in given else (("Host", "localhost"), *self.fields)
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{n}: {v}" for n, v in fields)]
        if any(end in line for line in lines for end in "\r\n\0"):
            raise LocalReply(400, "http_request_error", "A line of the request has a line end.")
        return _Reading().head_of("\r\n".join((*lines, "", "")).encode())


class _Reading:
    """The parser of the data port, for one head."""

    def __init__(self) -> None:
        self._fields = FieldCollector(HANDLED, MAX_FIELDS)
        self._fields.in_head = True
        self.on_header = self._fields.on_header
        self._target = b""

    def on_url(self, part: bytes) -> None:
        """Take a part of the target."""
        self._target += part

    def head_of(self, data: bytes) -> Head:
        """Parse and check a head.

        Raises:
            LocalReply: it is refused.
        """
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError as error:
            raise reply_to(error) from error
        return check_head(
            parser.get_method(), self._target, self._fields,
            most_bytes=len(data), http10=False, keep_alive=parser.should_keep_alive(),
        )  # fmt: skip


@dataclass(slots=True)
class Followed:
    """The services that are followed already: to look one up makes nobody follow it.

    Attributes:
        services: by name.
        missed: the name that was looked up and is not followed.
    """

    services: Mapping[str, Service]
    missed: str = field(default="")

    def find(self, name: str, now: float) -> Service | None:  # noqa: ARG002 - the port's signature
        """Return the service of this name, if it is followed."""
        service = self.services.get(name)
        if service is None:
            self.missed = name
        return service

    def prune(self, now: float) -> None:
        """Leave all as it is."""


def explain(context: ProxyContext, directory: NacosDirectory, question: Question) -> dict[str, Any]:
    """Answer a question in plain values: the terms of the request, or the reply that it would get.

    Args:
        context: of the worker that is asked.
        directory: its services.
        question: the request.
    """
    now, followed = context.clock(), Followed(directory.services)
    record: RequestRecord | None = None
    try:
        head = question.head()
        record = context.counters.begin(head, b"", now)
        admitted = granted(
            head, record, now,
            table=context.table, directory=followed, draw=context.draw, name=context.name,
        )  # fmt: skip
    except LocalReply as reply:
        return {
            "reply": {"status": reply.status, "error": reply.error, "detail": reply.detail},
            "route": "none" if record is None else record.route,
            "unfollowed": followed.missed,
        }
    return {
        "route": admitted.route.name,
        "path": admitted.route.path if admitted.route.service else "",
        "service": admitted.service.name,
        "target": admitted.target.decode("latin-1"),
        "timeout": admitted.limit,
        "per_try": admitted.per_try,
        "upgrade": admitted.upgrade.decode("latin-1"),
        "limits": _limits(admitted),
        "shares": _shares(admitted.route.split),
        "labels": dict(admitted.retries.subset.labels),
        "groups": _groups(admitted.service, admitted.retries.subset, now),
        **_retries(head.method.decode("latin-1"), admitted),
    }


def _limits(admitted: Admitted) -> dict[str, Any]:
    rate, concurrency = admitted.route.rate, admitted.route.concurrency
    return {
        "per_second": rate.per_second if rate is not None else None,
        "at_once": concurrency.width if concurrency is not None else None,
    }


def _shares(split: Split | None) -> list[tuple[dict[str, str], float]]:
    """Return the labels of each share of a split, with its percent."""
    told, lower = [], 0.0
    for upper, subset in split.subsets if split is not None else ():
        told.append((dict(subset.labels), round((upper - lower) * 100, 1)))
        lower = upper
    return told


def _groups(service: Service, subset: Subset, now: float) -> list[dict[str, Any]]:
    """Return the eligible instances in the order of their groups, up to a bound."""
    tiers, left = service.balancer.tiers(subset), MAX_INSTANCES
    told = []
    for place, group in enumerate(tiers.groups):
        members = group.members[:left]
        left -= len(members)
        told.append(
            {
                "serving": place < tiers.serving,
                "count": len(group.members),
                "instances": [
                    {
                        "address": member.address,
                        "cluster": member.instance.cluster,
                        "weight": member.weight,
                        "in_flight": member.in_flight,
                        "ewma_ms": round(member.present_cost(now) * 1000, 2),
                        "cause": member.ejection.cause.value if member.ejection.cause else None,
                        "preferred": subset.matches(member.instance),
                    }
                    for member in members
                ],
            }
        )
    return told


def _retries(method: str, admitted: Admitted) -> dict[str, Any]:
    """Return whether the request may run twice, who says so, and what may be tried again after."""
    repeatable = admitted.retries.repeatable
    if method in IDEMPOTENT_METHODS:
        ground = "method"
    elif admitted.route.idempotent is not None:
        ground = "route"
    else:
        ground = "service" if repeatable else "nobody"
    return {
        "repeatable": repeatable,
        "ground": ground,
        "attempts": admitted.route.retry.max_attempts,
        "hedged": repeatable and admitted.answer_times(method.encode()) is not None,
        "after": {
            outcome.value: (rule.repeatable if repeatable else rule.otherwise).value
            for outcome, rule in TABLE.items()
            if outcome not in {Outcome.ANSWERED, Outcome.ABANDONED}
        },
    }
