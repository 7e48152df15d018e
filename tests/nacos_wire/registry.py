"""What a server keeps: instances, documents and namespaces, and who is told of their changes."""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nacos_client.ports import Document, DocumentKey, ServiceKey

Service = tuple[str, ServiceKey]
"""A namespace, and a service in it."""
Text = tuple[str, DocumentKey]
"""A tenant, as the server stores it, and a document of it."""

BEAT, UNHEALTHY_AFTER, GONE_AFTER = (
    ("preserved.heart.beat.interval", 5_000),
    ("preserved.heart.beat.timeout", 15_000),
    ("preserved.ip.delete.timeout", 30_000),
)
"""Milliseconds between two beats, and from the last beat until an instance is unhealthy, and gone:
the key of an instance's metadata that sets another value, and the usual value."""


@dataclass(slots=True)
class Published:
    """An instance that a client of the server published.

    Attributes:
        host: the fields of the instance, named and spelled as its client did.
        beat: monotonic time in seconds of the last beat; None for an instance that needs no beats.
    """

    host: dict[str, Any]
    beat: float | None = None

    @property
    def place(self) -> tuple[str, int, str]:
        """The IP, the port and the cluster, by which an operator names the instance."""
        return self.host["ip"], self.host["port"], self.host["clusterName"]


@dataclass(frozen=True, slots=True)
class Reader:
    """A client, as the server knows it that chooses a document for it.

    Attributes:
        ip: the IP address by which the client calls itself.
        tag: the client's tag; "" for none.
    """

    ip: str = ""
    tag: str = ""


NOBODY = Reader()


@dataclass(frozen=True, slots=True)
class Trial:
    """A document that some clients get instead of the one for all.

    Attributes:
        ips: the clients of a beta, by IP address.
        tag: the clients of a tag; "" for a beta.
    """

    document: Document
    ips: frozenset[str] = frozenset()
    tag: str = ""

    def concerns(self, reader: Reader) -> bool:
        """Return whether a client gets this document."""
        return reader.tag == self.tag if self.tag else reader.ip in self.ips


@dataclass(frozen=True, slots=True)
class Entry:
    """A change of a document; `at` in Unix seconds, the change as I, U or D.

    It keeps the text that was inserted, or that was there before.
    """

    number: int
    at: float
    change: str
    text: str


@dataclass(slots=True)
class Registry:
    """The memory of a server; used on the server's event loop only.

    Attributes:
        service_changed: called with each service whose list may have changed.
        document_changed: called with each document that was written or deleted, and with the tag,
            if it is one for the clients of a tag.
        namespaces: the name of each namespace by its id.
    """

    service_changed: list[Callable[[Service], None]] = field(default_factory=list)
    document_changed: list[Callable[[Text, str], None]] = field(default_factory=list)
    namespaces: dict[str, str] = field(default_factory=lambda: {"public": "public"})
    _published: defaultdict[Service, dict[str, Published]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    _by_hand: dict[tuple[Service, tuple[str, int, str]], Mapping[str, Any]] = field(
        default_factory=dict
    )
    _thresholds: dict[Service, float] = field(default_factory=dict)
    _documents: dict[Text, Document] = field(default_factory=dict)
    _trials: defaultdict[Text, dict[str, Trial]] = field(default_factory=lambda: defaultdict(dict))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _history: dict[Text, list[Entry]] = field(default_factory=dict)

    def publish(self, service: Service, client: str, published: Published) -> None:
        """Add the instance that a client has in a service, or replace it."""
        self._published[service][client] = published
        self._tell(service)

    def withdraw(self, service: Service, client: str) -> None:
        """Take out what a client published for a service; it may be nothing."""
        if self._published[service].pop(client, None) is not None:
            self._tell(service)

    def withdraw_all(self, client: str) -> None:
        """Take out all that a client published."""
        for service in list(self._published):
            self.withdraw(service, client)

    def published(self, service: Service, client: str) -> Published | None:
        """Return what a client published for a service."""
        return self._published[service].get(client)

    def expire(self) -> None:
        """Let instances become unhealthy, and go, whose beats stay away."""
        now = time.monotonic()
        for service, clients in list(self._published.items()):
            for client, each in list(clients.items()):
                silent = 0.0 if each.beat is None else now - each.beat
                if silent > milliseconds(each.host, GONE_AFTER) / 1000:
                    self.withdraw(service, client)
                elif silent > milliseconds(each.host, UNHEALTHY_AFTER) / 1000:
                    self.judge(service, each, healthy=False)

    def judge(self, service: Service, published: Published, *, healthy: bool) -> None:
        """Hold an instance for healthy or not, as its beats say."""
        if published.host["healthy"] is not healthy:
            published.host["healthy"] = healthy
            self._tell(service)

    def set_by_hand(self, service: Service, wanted: Published) -> None:
        """Set weight, enabled and metadata of an instance, for all its registrations to come."""
        self._by_hand[service, wanted.place] = wanted.host
        self._tell(service)

    def protect(self, service: Service, threshold: float) -> None:
        """Set the share of healthy instances at which all are shown as healthy."""
        self._thresholds[service] = threshold
        self._tell(service)

    def everything(self, service: Service) -> list[dict[str, Any]]:
        """List every instance of a service, those out of traffic too, as they are on the wire."""
        found: list[dict[str, Any]] = []
        for each in self._published[service].values():
            host = self._host(service, each)
            if host not in found:
                found.append(host)
        return found

    def listing(self, service: Service, *, healthy_only: bool = False) -> dict[str, Any]:
        """List the enabled instances of a service for its callers, as they are on the wire."""
        hosts = [host for host in self.everything(service) if host["enabled"]]
        healthy = [host for host in hosts if host["healthy"]]
        threshold = self._thresholds.get(service)
        protected = bool(hosts) and threshold is not None and len(healthy) <= threshold * len(hosts)
        if protected:
            hosts = [{**host, "healthy": True} for host in hosts]
        elif healthy_only:
            hosts = healthy
        return {
            "name": service[1].name,
            "groupName": service[1].group,
            "clusters": "",
            "cacheMillis": 10_000,
            "hosts": hosts,
            "lastRefTime": int(time.time() * 1000),
            "checksum": "",
            "reachProtectionThreshold": protected,
            "valid": True,
        }

    def read(self, text: Text, reader: Reader = NOBODY) -> Document | None:
        """Read the document that a client gets: that of a beta before that of a tag."""
        for _, trial in sorted(self._trials[text].items()):
            if trial.concerns(reader):
                return trial.document
        return self._documents.get(text)

    def md5(self, text: Text, reader: Reader = NOBODY) -> str:
        """Return the MD5 of the document that a client gets; "" if there is no such document."""
        document = self.read(text, reader)
        return document.md5 if document else ""

    def history(self, text: Text) -> list[Entry]:
        """Return the changes of a document, the last one first."""
        return self._history.get(text, [])

    def write(self, text: Text, document: Document | None) -> None:
        """Write a document; None deletes it."""
        before = self._documents.pop(text, None)
        if document is not None:
            self._documents[text] = document
        if kept := before or document:
            change = "I" if before is None else "U" if document else "D"
            entry = Entry(next(self._numbers), time.time(), change, kept.content)
            self._history.setdefault(text, []).insert(0, entry)
        self._tell_of(text, "")

    def try_out(self, text: Text, trial: Trial) -> None:
        """Give a document to the clients of a beta, or to those of a tag."""
        self._trials[text][trial.tag] = trial
        self._tell_of(text, trial.tag)

    def end_trial(self, text: Text, tag: str) -> bool:
        """Give the clients of a tag the document for all again; "" means those of the beta.

        Returns:
            whether there was another document for them.
        """
        ended = self._trials[text].pop(tag, None)
        if ended:
            self._tell_of(text, tag)
        return ended is not None

    def _tell_of(self, text: Text, tag: str) -> None:
        for changed in self.document_changed:
            changed(text, tag)

    def _tell(self, service: Service) -> None:
        for changed in self.service_changed:
            changed(service)

    def _host(self, service: Service, published: Published) -> dict[str, Any]:
        host = published.host
        set_by_hand = self._by_hand.get((service, published.place), host)
        return {
            **host,
            "weight": set_by_hand["weight"],
            "enabled": set_by_hand["enabled"],
            "metadata": {**host["metadata"], **set_by_hand["metadata"]},
            "serviceName": str(service[1]),
            "instanceHeartBeatInterval": milliseconds(host, BEAT),
            "instanceHeartBeatTimeOut": milliseconds(host, UNHEALTHY_AFTER),
            "ipDeleteTimeout": milliseconds(host, GONE_AFTER),
        }


def milliseconds(host: Mapping[str, Any], period: tuple[str, int]) -> int:
    """Return a period as the instance's metadata set it, or its usual value."""
    key, usual = period
    return int(host["metadata"].get(key, usual))
