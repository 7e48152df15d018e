"""The decisions of a call by service name: the instance of each attempt, and whether to retry.

There is no I/O here: the transports send, and this module decides by the rules of `failover`. One
lock for each service makes it safe for callers in many threads; nothing waits while holding it.
"""

import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from failover import (
    Again,
    Balancer,
    Declared,
    Instance,
    Judgement,
    Member,
    Outcome,
    RetryPolicy,
    RetryState,
    Stop,
    judge_response,
    may_run_twice,
)

from nacos_client.instance_tls import InstanceTls
from nacos_client.snapshot import Known, Snapshot


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Limits of a call.

    Attributes:
        timeout: seconds for the whole call, with all attempts and pauses, to the response's head.
        per_try: seconds until an attempt is given up for one on another instance; one that none
            could follow has the time that is left.
        retry: the number of attempts and the pauses between them.
    """

    timeout: float = 15.0
    per_try: float = 10.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class CallTrace(Protocol):
    """The trace of one call; whoever traces keeps it."""

    def attempt_begins(self, instance: str) -> Mapping[str, str]:
        """Begin an attempt at an instance's address; return the fields that go there with it."""
        ...

    def attempt_ended(self, outcome: str, status: int | None) -> None:
        """End the attempt that began last, by the word of `failover.Outcome`.

        `status`: of the answer; None without an answer.
        """


TraceCall = Callable[[str, str], CallTrace | None]
"""Begins the trace of a call, given the service's name and the method; None for no trace."""


class ServiceCaller:
    """The instances of one service, with what its calls have learnt about them."""

    def __init__(self, service: str, cluster: str, tls: InstanceTls | None = None) -> None:
        self.service = service
        self._tls = tls
        self._balancer = Balancer(cluster=cluster)
        self._known: tuple[Instance, ...] = ()
        self._declared = Declared()
        self._lock = threading.Lock()

    def call(
        self,
        request: httpx.Request,
        snapshot: Callable[[], Snapshot],
        policy: CallPolicy,
        trace: TraceCall | None = None,
    ) -> "Call":
        """Begin a call; `snapshot` tells before each attempt which instances discovery knows."""
        return Call(self, request, snapshot, policy, trace)

    def repeatable(self, request: httpx.Request, snapshot: Snapshot) -> bool:
        """Return whether a request may run twice, by `failover.may_run_twice`."""
        said = request.extensions.get("idempotent")
        caller = None if said is None else bool(said)
        with self._lock:
            self._adopt(snapshot)
            return may_run_twice(request.method, request.url.path, self._declared, caller=caller)

    def expected(self, instance: Instance) -> dict[str, str]:
        """Return the extension of httpx that names what an instance's certificate must hold."""
        if self._tls is None:
            return {}
        return {"sni_hostname": self._tls.server_name(self.service, instance.ip)}

    def _adopt(self, snapshot: Snapshot) -> None:
        if isinstance(snapshot, Known) and snapshot.instances != self._known:
            self._balancer.sync(snapshot.instances, time.monotonic())
            self._known = snapshot.instances
            self._declared = Declared(instance.metadata for instance in self._known)

    def pick(self, state: RetryState, snapshot: Snapshot) -> Member:
        """Choose the instance for the next attempt.

        Raises:
            httpx.ConnectError: there is no instance, or no instance is left to try.
        """
        with self._lock:
            self._adopt(snapshot)
            now = time.monotonic()
            if not state.charged_attempts:
                self._balancer.budget.deposit(now)
            member = self._balancer.pick(state, now, random.random())  # noqa: S311
        if isinstance(member, Member):
            return member
        raise httpx.ConnectError(f"no instance of {self.service} to ask: {member.value}")

    def learn(self, state: RetryState, judgement: Judgement) -> Again | Stop:
        """Record how an attempt ended; return whether to try again, and after which pause."""
        with self._lock:
            now, draw = time.monotonic(), random.random()  # noqa: S311
            outcome = judgement.outcome
            self._balancer.record(state, outcome, now, draw, judgement.retry_after)
            return self._balancer.decide(state, outcome, now, draw)

    def note_draining(self, state: RetryState) -> None:
        """Record that the instance of the attempt under way says that its process ends soon."""
        with self._lock:
            self._balancer.note_draining(state, time.monotonic(), random.random())  # noqa: S311

    def end(self, state: RetryState, outcome: Outcome) -> None:
        """Record how the last attempt ended."""
        with self._lock:
            self._balancer.record(state, outcome, time.monotonic(), random.random())  # noqa: S311


class Call:
    """The attempts of one request.

    Attributes:
        address: instance of the present attempt.
    """

    def __init__(
        self,
        service: ServiceCaller,
        request: httpx.Request,
        snapshot: Callable[[], Snapshot],
        policy: CallPolicy,
        trace: TraceCall | None,
    ) -> None:
        self.address = ""
        self._trace = None if trace is None else trace(service.service, request.method)
        self._service = service
        self._request = request
        self._snapshot = snapshot
        self._policy = policy
        self._state = RetryState(
            repeatable=service.repeatable(request, snapshot()),
            deadline=time.monotonic() + policy.timeout,
            policy=policy.retry,
            replayable=isinstance(request.stream, httpx.ByteStream),
        )

    @property
    def attempts(self) -> int:
        """The number of attempts that were made."""
        return self._state.charged_attempts

    def attempt(self) -> tuple[httpx.Request, float]:
        """Choose an instance; returns the request for it, and the seconds for this attempt.

        Raises:
            httpx.ConnectError: there is no instance, or no instance is left to try.
        """
        member = self._service.pick(self._state, self._snapshot())
        self.address = member.instance.address
        try:
            return self._request_to(member.instance)
        except BaseException:  # nothing was sent, and the attempt counts as under way
            self.abandoned()
            raise

    def _request_to(self, instance: Instance) -> tuple[httpx.Request, float]:
        left = max(0.0, self._state.deadline - time.monotonic())
        seconds = left
        if self._state.may_be_followed:
            seconds = min(left, self._policy.per_try)
        url = self._request.url.copy_with(
            scheme="https" if instance.secure else self._request.url.scheme,
            host=instance.ip,
            port=instance.port,
        )
        limits = {
            name: seconds if limit is None else min(limit, seconds)
            for name, limit in self._request.extensions.get("timeout", {}).items()
        }
        sent = httpx.Request(
            self._request.method,
            url,
            headers=self._request.headers,
            stream=self._request.stream,
            extensions={
                **self._service.expected(instance),
                **self._request.extensions,
                "timeout": limits,
            },
        )
        sent.headers["Host"] = instance.address
        if self._trace is not None:
            for name, value in self._trace.attempt_begins(instance.address).items():
                sent.headers.setdefault(name, value)  # the caller's own fields hold
        return sent, seconds

    def answered(self, response: httpx.Response) -> float | None:
        """Judge a response; returns the pause before a retry, or None to return this response."""
        response.extensions["nacos_instance"] = self.address.encode()
        response.extensions["nacos_attempts"] = self.attempts
        if "X-Gateway-Draining" in response.headers and _closes(response):
            self._service.note_draining(self._state)
        judgement = judge(response, time.time())
        self._trace_ended(judgement.outcome, response.status_code)
        if judgement.retry_forbidden:
            self._service.end(self._state, judgement.outcome)
            return None
        return self._pause(judgement)

    def failed(self, error: Exception) -> float | None:
        """Judge a failure; returns the pause before a retry, or None to raise this failure."""
        outcome = outcome_of(error)
        self._trace_ended(outcome)
        if outcome is Outcome.ABANDONED:
            self._service.end(self._state, outcome)
            return None
        return self._pause(Judgement(outcome))

    def abandoned(self) -> None:
        """Record that the caller gave up, which says nothing of the instance."""
        self._trace_ended(Outcome.ABANDONED)
        self._service.end(self._state, Outcome.ABANDONED)

    def _trace_ended(self, outcome: Outcome, status: int | None = None) -> None:
        if self._trace is not None:
            self._trace.attempt_ended(outcome.value, status)

    def _pause(self, judgement: Judgement) -> float | None:
        decision = self._service.learn(self._state, judgement)
        return decision.delay if isinstance(decision, Again) else None


def _closes(response: httpx.Response) -> bool:
    return "close" in response.headers.get("Connection", "").lower()


def judge(response: httpx.Response, wall: float) -> Judgement:
    """Judge an attempt by the head of its response; `wall` is Unix time."""
    fields = response.headers
    return judge_response(
        response.status_code,
        retry_after=fields.get("Retry-After"),
        not_processed=fields.get("X-Gateway-Not-Processed"),
        retry=fields.get("X-Gateway-Retry"),
        wall=wall,
    )


def outcome_of(error: Exception) -> Outcome:
    """Return what an error of httpx proves about the request and the instance."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Outcome.REFUSED
        case httpx.ReadTimeout() | httpx.WriteTimeout() | TimeoutError():
            return Outcome.TIMED_OUT
        case httpx.ReadError() | httpx.WriteError() | ssl.SSLError():
            return Outcome.BROKEN
        case httpx.RemoteProtocolError():
            silent = "without sending a response" in str(error)
            return Outcome.BROKEN if silent else Outcome.GARBLED
        case _:
            return Outcome.ABANDONED
