"""The requests of a client over HTTP, for where gRPC is closed, in the dialect of each server.

Sources, in github.com/alibaba/nacos: naming/.../{InstanceController,InstanceOpenApiController}.java
and config/.../{ConfigController,ConfigOpenApiController,LongPollingService}.java.
"""

import hashlib
import math
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import unquote

from failover import Instance

from nacos_client._sdk import http, wire
from nacos_client._sdk.administration import instance_form
from nacos_client._sdk.dialect import Dialect, Server
from nacos_client._sdk.http import HTTP_SECONDS, HttpAnswer
from nacos_client._sdk.http_api import HttpApi
from nacos_client._sdk.listing import listing_of
from nacos_client.errors import Conflict, Denied, Refused
from nacos_client.ports import Document, DocumentKey, Listing, ServiceKey
from nacos_client.settings import TAG

V1, V3 = Dialect.V1, Dialect.V3
INSTANCE = {V3: "/v3/client/ns/instance", V1: "/v1/ns/instance"}
BEAT = {V3: INSTANCE[V3], V1: f"{INSTANCE[V1]}/beat"}
LIST = {V3: f"{INSTANCE[V3]}/list", V1: f"{INSTANCE[V1]}/list"}
EVERY_CLUSTER = {V3: {"clusterName": ","}, V1: {"clusters": ""}}
"""The field with which the list has the instances of every cluster. Without one, v3 has only those
of `DEFAULT` (InstanceListForm.java, until pull request 14778); it splits the names at commas, and
takes no name for all (ServiceUtil.java)."""
DOCUMENT = {V3: "/v3/client/cs/config", V1: "/v1/cs/configs"}
WRITTEN_DOCUMENT = {V3: "/v3/admin/cs/config", V1: "/v1/cs/configs"}
LISTENER = dict.fromkeys((V3, V1), "/v1/cs/configs/listener")
"""The one path of a long poll: v3 has none of its own, and 3.2 no longer has that of v1."""

UNKNOWN_INSTANCE = {20_404, 21_003}
"""The code of a beat's answer, in v1 and v3, that says to register the instance (again)."""
NO_DOCUMENT = 20_004
GOOD = {0, http.OK, 10_200}
"""The codes of good answers: of v3, of v1, and of a beat in v1."""
BEAT_SECONDS = 5.0
"""Seconds between two beats, if neither the server nor the instance's metadata says otherwise."""
BEAT_LIMITS = (1.0, 10.0)
"""Seconds between two beats, at least and at most: by default an instance without beats counts as
unhealthy after 15 s."""
BEAT_INTERVAL = "preserved.heart.beat.interval"
"""The key of an instance's metadata that sets the milliseconds between two beats."""
HOLD_SECONDS = 10.0
"""Seconds for which the server holds a long poll while nothing changes; it holds none shorter."""
EARLIER = 0.5
"""Seconds by which the server answers a long poll before the client's time is over."""
WORD, LINE = "\x02", "\x01"
"""The marks between the words and behind the lines of what a long poll listens to."""


class ClientApi:
    """What a client asks the servers of its namespace over HTTP.

    Every method raises `Unreachable`, `Denied`, or `Refused` with the answer's code.
    """

    def __init__(self, api: HttpApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._tenant = wire.tenant_of(namespace)
        self._tag = wire.tag_of(api.settings.label_values)

    async def register(
        self, server: Server, service: ServiceKey, instance: Instance, *, ephemeral: bool
    ) -> None:
        """Publish the instance, or replace it; an ephemeral one lasts as long as its beats."""
        await self._instance("POST", server, service, instance, ephemeral=ephemeral)

    async def deregister(
        self, server: Server, service: ServiceKey, instance: Instance, *, ephemeral: bool
    ) -> None:
        """Take the instance out; nothing happens if the server does not have it."""
        await self._instance("DELETE", server, service, instance, ephemeral=ephemeral)

    async def _instance(
        self,
        method: str,
        server: Server,
        service: ServiceKey,
        instance: Instance,
        *,
        ephemeral: bool,
    ) -> None:
        form = instance_form(self._namespace, service, instance, ephemeral=ephemeral)
        answer = await self._api.send(
            server, method, INSTANCE, form, naming=str(service), renew=True
        )
        judged(f"{method} of {service} {instance.address}", answer)

    async def beat(self, server: Server, service: ServiceKey, instance: Instance) -> float | None:
        """Say that the instance lives.

        Returns:
            the seconds until the next beat; None if the server does not know the instance.
        """
        form = {
            **self._service(service),
            "ip": instance.host,
            "port": str(instance.port),
            "clusterName": instance.cluster,
        }
        v3 = await self._speaks_v3(server)
        method, more = ("POST", {"heartBeat": "true"}) if v3 else ("PUT", {})
        answer = await self._api.send(
            server, method, BEAT, {**form, **more}, naming=str(service), renew=True
        )
        try:
            told = judged(f"beat of {service} {instance.address}", answer)
        except Refused as error:
            if error.code in UNKNOWN_INSTANCE:
                return None
            raise
        # v1 answers with the interval of the metadata, where these have one; v3 with none.
        wanted = told.get("clientBeatInterval", instance.metadata.get(BEAT_INTERVAL))
        return beat_pause(wanted)

    async def instances(self, server: Server, service: ServiceKey) -> Listing:
        """Ask for the instances of a service; v3 does not tell that they are protected."""
        every = EVERY_CLUSTER[V3 if await self._speaks_v3(server) else V1]
        form = {**self._service(service), **every, "healthyOnly": "false"}
        answer = await self._api.send(server, "GET", LIST, form, naming=str(service), renew=True)
        told = judged(f"instances of {service}", answer)
        hosts = told.get("hosts", told.get("data")) or ()
        return listing_of(hosts, protected=bool(told.get("reachProtectionThreshold")))

    async def fetch(self, server: Server, key: DocumentKey) -> Document | None:
        """Read a document; returns None if there is no such document."""
        v3 = await self._speaks_v3(server)
        answer = await self._config(server, "GET", DOCUMENT, key)
        if not v3:
            if answer.status == http.NOT_FOUND:
                return None
            refuse(f"reading {key}", answer)
            usual = hashlib.md5(answer.body, usedforsecurity=False).hexdigest()
            md5 = answer.headers.get("content-md5", usual)
            return Document(
                answer.body.decode(errors="replace"),
                md5,
                answer.headers.get("config-type", "yaml"),
                answer.headers.get("encrypted-data-key", ""),
                tried(answer.headers.get("isbeta"), answer.headers.get(TAG.lower())),
            )
        try:
            told = judged(f"reading {key}", answer)["data"]
        except Refused as error:
            if error.code == NO_DOCUMENT:
                return None
            raise
        return Document(
            str(told["content"]),
            str(told["md5"]),
            str(told.get("contentType") or "yaml"),
            str(told.get("encryptedDataKey") or ""),
            tried(told.get("beta"), told.get("tag")),
        )

    async def changed(
        self, server: Server, md5s: Mapping[DocumentKey, str], *, hold: bool
    ) -> Collection[DocumentKey] | None:
        """Return those documents of which the server has another MD5, "" for no document.

        Args:
            server: host and HTTP port.
            md5s: what the client has.
            hold: wait for a change, ten seconds at most.

        Returns:
            None if the server has no long poll.
        """
        tenant = (self._tenant,) if self._tenant else ()
        words = ((key.data_id, key.group, md5, *tenant) for key, md5 in md5s.items())
        listening = "".join(WORD.join(line) + LINE for line in words)
        # By v3 no document is read for a tag, and the poll must be about what is read.
        tag = {} if await self._speaks_v3(server) else self._tag
        headers = {**tag, "Long-Pulling-Timeout": str(int((HOLD_SECONDS + EARLIER) * 1000))}
        if not hold:
            headers["Long-Pulling-Timeout-No-Hangup"] = "true"
        answer = await self._api.send(
            server,
            "POST",
            LISTENER,
            {"Listening-Configs": listening},
            config="",
            headers=headers,
            seconds=HTTP_SECONDS + (HOLD_SECONDS if hold else 0.0),
            renew=True,
        )
        if answer.status in http.MISSING:
            return None
        refuse("listening for changes of documents", answer)
        lines = unquote(answer.text(http.MAX_BYTES)).strip("\r\n").split(LINE)
        return {DocumentKey(*line.split(WORD)[:2]) for line in lines if WORD in line}

    async def publish(
        self, server: Server, key: DocumentKey, fields: Mapping[str, str], cas_md5: str | None
    ) -> None:
        """Write the document, given as `content`, `type` and, if encrypted, `encryptedDataKey`.

        With `cas_md5`, it is written only over the document with that MD5.

        Raises:
            Conflict: the document has another MD5.
        """
        headers = {"casMd5": cas_md5} if cas_md5 else {}
        answer = await self._config(server, "POST", WRITTEN_DOCUMENT, key, fields, headers=headers)
        if cas_md5 and answer.status == http.FAILED and b"md5" in answer.body.lower():
            raise Conflict(f"{key} is no longer the document with MD5 {cas_md5}")
        refuse(f"writing {key}", answer)

    async def remove(self, server: Server, key: DocumentKey) -> None:
        """Delete the document."""
        refuse(f"deleting {key}", await self._config(server, "DELETE", WRITTEN_DOCUMENT, key))

    async def _config(
        self,
        server: Server,
        method: str,
        paths: Mapping[Dialect, str],
        key: DocumentKey,
        form: Mapping[str, str] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> HttpAnswer:
        place = {"dataId": key.data_id, "group": key.group, "tenant": self._tenant}
        if await self._speaks_v3(server):
            place = {
                "dataId": key.data_id,
                "groupName": key.group,
                "namespaceId": self._namespace,
            }
        resource = f"{self._tenant}+{key.group}" if self._tenant else key.group
        return await self._api.send(
            server,
            method,
            paths,
            {**place, **(form or {})},
            config=resource,
            headers={**self._tag, **(headers or {})},
            renew=True,
        )

    async def _speaks_v3(self, server: Server) -> bool:
        return (await self._api.dialects.of(server)).dialect == Dialect.V3

    def _service(self, service: ServiceKey) -> dict[str, str]:
        return {
            "namespaceId": self._namespace,
            "groupName": service.group,
            "serviceName": service.name,
        }


def tried(beta: object, tag: object) -> str:
    """Return for whom a document is tried out, by what an answer says: beta, tag, or nobody."""
    return "beta" if beta in {True, "true"} else "tag" if tag else ""


def beat_pause(millis: object) -> float:
    """Return the seconds from one beat to the next, for the milliseconds that were told.

    Args:
        millis: of an answer or of metadata: anything; what is no number counts as not told.
    """
    try:
        seconds = float(str(millis)) / 1000
    except ValueError:
        return BEAT_SECONDS
    shortest, longest = BEAT_LIMITS
    return BEAT_SECONDS if math.isnan(seconds) else min(max(seconds, shortest), longest)


def refuse(what: str, answer: HttpAnswer) -> None:
    """Raise the error that an answer tells by its status.

    Raises:
        Denied: this user may not.
        Refused: another error, with the status as its code.
    """
    told = f"{what}: HTTP {answer.status} {answer.text(200)}"
    if answer.status in http.DENIED:
        raise Denied(told)
    if answer.status != http.OK:
        raise Refused(told, answer.status)


def judged(what: str, answer: HttpAnswer) -> Mapping[str, Any]:
    """Return what an answer tells; a text that is no JSON tells nothing.

    Raises:
        Denied: this user may not.
        Refused: another error, with Nacos' code if the answer has one.
    """
    try:
        told = answer.json()
    except Refused:
        told = {}
    code = told.get("code")
    if isinstance(code, int) and code not in GOOD and answer.status not in http.DENIED:
        raise Refused(f"{what}: {answer.text(200)}", code)
    refuse(what, answer)
    return told
