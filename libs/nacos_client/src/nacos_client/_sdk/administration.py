"""The HTTP API of the servers: what gRPC does not offer, in the dialect of each server."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from failover import Instance

from nacos_client._sdk import http
from nacos_client._sdk.choice import Answering, Transport
from nacos_client._sdk.dialect import Dialect, Server
from nacos_client._sdk.http import HttpAnswer
from nacos_client._sdk.http_api import HttpApi
from nacos_client._sdk.wire import PUBLIC, tenant_of
from nacos_client.errors import Denied, NacosError, Refused, Unreachable
from nacos_client.ports import Document, DocumentKey, Revision, ServiceKey
from nacos_client.settings import NacosSettings

INSTANCE_PATHS = {Dialect.V3: "/v3/admin/ns/instance", Dialect.V1: "/v1/ns/instance"}
NAMESPACES_PATHS = {
    Dialect.V3: "/v3/admin/core/namespace/list",
    Dialect.V1: "/v1/console/namespaces",
}
NAMESPACES_RESOURCE = "/v3/admin/core/namespace"
"""The name that a permission has for the namespaces of 3.x (NamespaceControllerV3); before, every
user may list them."""
HISTORY_PATHS = {Dialect.V3: "/v3/admin/cs/history/list", Dialect.V1: "/v1/cs/history"}
ENTRY_PATHS = {Dialect.V3: "/v3/admin/cs/history", Dialect.V1: "/v1/cs/history"}
CHANGES = {"I": "inserted", "U": "updated", "D": "deleted"}
ENTRIES = 100
"""Entries of a document's history that are read."""
WORDS = {"POST": "add", "PUT": "change", "DELETE": "take out"}


class Administration:
    """The administration of the servers of one client, whatever the namespace.

    Attributes:
        api: the way to the servers.
        dialects: the servers, as they said what they are.
        credentials: the client's login.
        answering: the time in which the servers have answered over HTTP.
        told: the transport that the log was told of last.
    """

    def __init__(self, settings: NacosSettings) -> None:
        self.api = HttpApi(settings)
        self.dialects = self.api.dialects
        self.credentials = self.api.credentials
        self.answering = Answering()
        self.told = Transport.GRPC
        self._settings = settings

    async def send_instance(
        self,
        method: str,
        namespace: str,
        service: ServiceKey,
        instance: Instance,
        *,
        ephemeral: bool,
    ) -> None:
        """Add (POST), change (PUT) or take out (DELETE) an instance, at the first server that can.

        Raises:
            Denied: this user may not.
            Refused: no server did so; the message has the answer of the last one.
            Unreachable: no server answered.
        """
        form = instance_form(namespace, service, instance, ephemeral=ephemeral)
        trouble: NacosError = Unreachable("no Nacos server is named")
        for server in self._settings.servers:
            try:
                answer = await self.api.send(
                    server, method, INSTANCE_PATHS, form, naming=str(service)
                )
            except (Unreachable, Refused) as error:
                trouble = error
                continue
            if answer.status in http.DENIED:
                raise Denied(f"this user may not {WORDS[method]} an instance over HTTP")
            if answer.status == http.OK:
                return
            told = answer.text(200)
            trouble = Refused(
                f"{method} of an instance: HTTP {answer.status} {told}", answer.status
            )
        raise trouble

    async def namespace_trouble(self, server: Server, namespace: str) -> str | None:
        """Say what is wrong with a namespace: it does not exist, or is a name and not an id.

        Returns:
            None if the namespace is there.

        Raises:
            Unreachable: the server does not answer over HTTP.
            Refused: it answers in neither dialect, or does not tell this user; the message says
                which permission is missing.
        """
        if namespace == PUBLIC:
            return None
        answer = await self.api.send(server, "GET", NAMESPACES_PATHS, {})
        if answer.status in http.DENIED:
            raise Refused(
                "this user may not list namespaces: give a role of the user the permission to read "
                f"{NAMESPACES_RESOURCE}",
                answer.status,
            )
        if answer.status != http.OK:
            raise Refused(f"the list of namespaces: HTTP {answer.status}", answer.status)
        listed = answer.json().get("data") or ()
        names = {str(each.get("namespace")): each.get("namespaceShowName") for each in listed}
        if namespace in names:
            return None
        for id_, name in names.items():
            if name == namespace:
                return f"NACOS_NAMESPACE={namespace} is a namespace's name: set it to the id, {id_}"
        return f"NACOS_NAMESPACE={namespace} does not exist: create this namespace, or set its id"

    async def history(self, namespace: str, key: DocumentKey) -> tuple[Revision, ...]:
        """List the newest changes of a document, the last one first.

        Raises:
            Denied: this user may not.
            Refused: no server did so; the message has the answer of the last one.
            Unreachable: no server answered.
        """
        page = {"search": "accurate", "pageNo": "1", "pageSize": str(ENTRIES)}
        body = await self._read(HISTORY_PATHS, namespace, key, page)
        entries = map(_revision, body.get("pageItems") or ())
        return tuple(sorted(entries, key=lambda entry: entry.number, reverse=True))

    async def entry(self, namespace: str, key: DocumentKey, number: int) -> Document:
        """Read the document that an entry of its history keeps.

        Raises:
            Denied: this user may not.
            Refused: no server has such an entry; the message has the answer of the last one.
            Unreachable: no server answered.
        """
        body = await self._read(ENTRY_PATHS, namespace, key, {"nid": str(number)})
        data_key = str(body.get("encryptedDataKey") or "")
        return Document(str(body["content"]), str(body.get("md5") or ""), data_key=data_key)

    async def _read(
        self,
        paths: Mapping[Dialect, str],
        namespace: str,
        key: DocumentKey,
        more: Mapping[str, str],
    ) -> Mapping[str, Any]:
        """Ask the first server that answers about a document's history."""
        tenant = tenant_of(namespace)
        # Each dialect reads its own names of the group and of the namespace.
        form = {
            **more,
            "dataId": key.data_id,
            "group": key.group,
            "groupName": key.group,
            "tenant": tenant,
            "namespaceId": namespace,
        }
        resource = f"{tenant}+{key.group}" if tenant else key.group
        trouble: NacosError = Unreachable("no Nacos server is named")
        for server in self._settings.servers:
            try:
                answer = await self.api.send(server, "GET", paths, form, config=resource)
                if answer.status in http.DENIED:
                    raise Denied(f"this user may not read configuration, nor the history of {key}")
                if answer.status == http.OK and answer.body:
                    return _data(answer)
                told = answer.text(200) or "no such entry"
                trouble = Refused(f"history of {key}: HTTP {answer.status} {told}", answer.status)
            except (Unreachable, Refused) as error:
                trouble = error
        raise trouble


def instance_form(
    namespace: str, service: ServiceKey, instance: Instance, *, ephemeral: bool
) -> dict[str, Any]:
    """Spell an instance as both dialects want it."""
    return {
        "namespaceId": namespace,
        "groupName": service.group,
        "serviceName": service.name,
        "ip": instance.host,
        "port": str(instance.port),
        "clusterName": instance.cluster,
        "weight": str(instance.weight),
        "enabled": str(instance.enabled).lower(),
        "ephemeral": str(ephemeral).lower(),
        "metadata": json.dumps(dict(instance.metadata)),
    }


def _data(answer: HttpAnswer) -> Mapping[str, Any]:
    """Return what an answer holds; v3 has it in an envelope."""
    body = answer.json()
    found = body["data"] if {"code", "data"} <= body.keys() else body
    return found if isinstance(found, Mapping) else {}


def _revision(entry: Mapping[str, Any]) -> Revision:
    """Read an entry: v3 has milliseconds, v1 a text of the time; the change is one letter."""
    at = entry.get("modifyTime")
    if at is None:
        at = datetime.fromisoformat(str(entry["lastModifiedTime"])).timestamp() * 1000
    change = str(entry.get("opType") or "").strip()
    user, ip = str(entry.get("srcUser") or ""), str(entry.get("srcIp") or "")
    return Revision(int(entry["id"]), at / 1000, CHANGES.get(change, change), user, ip)
