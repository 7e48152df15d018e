"""One call by service name, as a list of attempts: whom to ask, and what an outcome leads to.

No I/O: the transports send, this decides, with the rules of `failover`. One lock for each service
makes it fit for callers in many threads; nothing under it waits.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx
from failover import (
    IDEMPOTENT_METHODS,
    Again,
    Declared,
    Instance,
    Member,
    Outcome,
    Pool,
    RetryPolicy,
    Stop,
    Tries,
    classify_status,
    retry_after,
)

from nacos_client.snapshot import Known, Snapshot


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """Limits of a call.

    Attributes:
        timeout: seconds for the whole call, all attempts and pauses together, to the answer's head.
        per_try: seconds for one attempt.
        retry: how many attempts and which pauses.
    """

    timeout: float = 15.0
    per_try: float = 10.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)


class Balancer:
    """What is learnt of the instances of one service by calling them."""

    def __init__(self, service: str, cluster: str) -> None:
        self.service = service
        self._pool = Pool(cluster=cluster)
        self._known: tuple[Instance, ...] = ()
        self._declared = Declared()
        self._lock = threading.Lock()

    def call(
        self, request: httpx.Request, snapshot: Callable[[], Snapshot], policy: CallPolicy
    ) -> "Call":
        """Begin a call; `snapshot` tells before each attempt what discovery knows."""
        return Call(self, request, snapshot, policy)

    def repeatable(self, request: httpx.Request, snapshot: Snapshot) -> bool:
        """Whether a request may run twice: by its caller's word, its method or its service's."""
        said = request.extensions.get("idempotent")
        if said is not None:
            return bool(said)
        if request.method in IDEMPOTENT_METHODS:
            return True
        with self._lock:
            self._take_over(snapshot)
            return self._declared.allows(request.method, request.url.path)

    def _take_over(self, snapshot: Snapshot) -> None:
        if isinstance(snapshot, Known) and snapshot.instances != self._known:
            self._pool.sync(snapshot.instances, time.monotonic())
            self._known = snapshot.instances
            self._declared = Declared(instance.metadata for instance in self._known)

    def pick(self, tries: Tries, snapshot: Snapshot) -> Member:
        """Choose the instance for the next attempt.

        Raises:
            httpx.ConnectError: there is none (left).
        """
        with self._lock:
            self._take_over(snapshot)
            now = time.monotonic()
            if not tries.attempts:
                self._pool.admit(now)
            member = self._pool.pick(tries, now, random.random())  # noqa: S311
        if isinstance(member, Member):
            return member
        raise httpx.ConnectError(f"no instance of {self.service} to ask: {member.value}")

    def learn(self, tries: Tries, outcome: Outcome, asked: float | None) -> Again | Stop:
        """Take the outcome of an attempt; returns whether to try again, and after which pause."""
        with self._lock:
            now, draw = time.monotonic(), random.random()  # noqa: S311
            self._pool.record(tries, outcome, now, draw, asked)
            return self._pool.decide(tries, outcome, now, draw)

    def end(self, tries: Tries, outcome: Outcome) -> None:
        """Take the outcome of an attempt that is the last."""
        with self._lock:
            self._pool.record(tries, outcome, time.monotonic(), random.random())  # noqa: S311


class Call:
    """The attempts of one request.

    Attributes:
        address: instance of the present attempt.
        attempts: how many were made.
    """

    def __init__(
        self,
        balancer: Balancer,
        request: httpx.Request,
        snapshot: Callable[[], Snapshot],
        policy: CallPolicy,
    ) -> None:
        self.address = ""
        self._balancer = balancer
        self._request = request
        self._snapshot = snapshot
        self._policy = policy
        self._tries = Tries(
            repeatable=balancer.repeatable(request, snapshot()),
            deadline=time.monotonic() + policy.timeout,
            retry=policy.retry,
            replayable=isinstance(request.stream, httpx.ByteStream),
        )

    @property
    def attempts(self) -> int:
        """How many attempts were made."""
        return self._tries.attempts

    def attempt(self) -> tuple[httpx.Request, float]:
        """Choose an instance; returns the request for it, and the seconds it may take.

        Raises:
            httpx.ConnectError: there is no instance (left) to ask.
        """
        member = self._balancer.pick(self._tries, self._snapshot())
        instance = member.instance
        self.address = instance.address
        left = max(0.0, self._tries.deadline - time.monotonic())
        seconds = min(left, self._policy.per_try)
        secure = instance.metadata.get("secure") == "true"
        url = self._request.url.copy_with(
            scheme="https" if secure else self._request.url.scheme,
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
            extensions={**self._request.extensions, "timeout": limits},
        )
        sent.headers["Host"] = instance.address
        return sent, seconds

    def answered(self, response: httpx.Response) -> float | None:
        """Judge an answer: None if it is the one to return, else the pause before the next try."""
        said = response.headers.get("Retry-After")
        outcome = classify_status(
            response.status_code,
            retry_after=said is not None,
            not_processed=response.headers.get("X-Gateway-Not-Processed") == "1",
        )
        asked = None if said is None else retry_after(said, time.time())
        response.extensions["nacos_instance"] = self.address.encode()
        response.extensions["nacos_attempts"] = self.attempts
        if response.headers.get("X-Gateway-Retry") == "never":
            self._balancer.end(self._tries, outcome)
            return None
        return self._pause(outcome, asked)

    def failed(self, error: Exception) -> float | None:
        """Judge a failure: None if it is the one to raise, else the pause before the next try."""
        outcome = outcome_of(error)
        if outcome is Outcome.ABANDONED:
            self._balancer.end(self._tries, outcome)
            return None
        return self._pause(outcome, None)

    def abandoned(self) -> None:
        """Take note that the caller gave up: that says nothing of the instance."""
        self._balancer.end(self._tries, Outcome.ABANDONED)

    def _pause(self, outcome: Outcome, asked: float | None) -> float | None:
        decision = self._balancer.learn(self._tries, outcome, asked)
        return decision.delay if isinstance(decision, Again) else None


def outcome_of(error: Exception) -> Outcome:
    """Say what an error of httpx proves about the request and the instance."""
    match error:
        case httpx.ConnectError() | httpx.ConnectTimeout():
            return Outcome.REFUSED
        case httpx.ReadTimeout() | httpx.WriteTimeout() | TimeoutError():
            return Outcome.TIMED_OUT
        case httpx.ReadError() | httpx.WriteError():
            return Outcome.BROKEN
        case httpx.RemoteProtocolError():
            silent = "without sending a response" in str(error)
            return Outcome.BROKEN if silent else Outcome.GARBLED
        case _:
            return Outcome.ABANDONED
