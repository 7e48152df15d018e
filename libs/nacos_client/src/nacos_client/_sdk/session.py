"""The ports of `nacos_client.ports`, spoken in Nacos' protocol over one link by gRPC."""

from collections.abc import Callable, Mapping
from typing import Any

from failover import Instance

from nacos_client._sdk import wire
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.auth import Credentials
from nacos_client._sdk.dialect import Server, refuse_old
from nacos_client._sdk.link import Handler, Link
from nacos_client._sdk.listing import listing_of
from nacos_client._sdk.wire import Message
from nacos_client.errors import Conflict, Refused, Unreachable
from nacos_client.ports import (
    Document,
    DocumentKey,
    Listing,
    Revision,
    ServerFacts,
    ServiceKey,
)
from nacos_client.settings import NacosSettings

REGISTER, DEREGISTER = "registerInstance", "deregisterInstance"


class SdkSession:
    """One connection to a real Nacos by gRPC; administration goes over HTTP beside it."""

    def __init__(
        self,
        settings: NacosSettings,
        label: str,
        administration: Administration,
        make_link: Callable[[NacosSettings, str, Credentials, Handler], Link] = Link,
    ) -> None:
        self._namespace = settings.namespace
        self._tenant = wire.tenant_of(settings.namespace)
        self._administration = administration
        self._link = make_link(settings, label, administration.credentials, self._received)
        self._pushes: dict[str, Callable[[Listing], None]] = {}
        self._changes: dict[DocumentKey, set[Callable[[], None]]] = {}

    @property
    def connection(self) -> str | None:
        """Id of the present connection; None while not connected."""
        return self._link.connection

    @property
    def trouble(self) -> str | None:
        """The reason why there is no connection or no permission, or None."""
        denied = self._administration.credentials.trouble
        return self._link.trouble or (str(denied) if denied else None)

    @property
    def unanswered(self) -> int:
        """Attempts in a row at which nobody answered by gRPC."""
        return self._link.unanswered

    def hurry(self, longest_pause: float) -> None:
        """Try to connect again after so many seconds at most."""
        self._link.longest_pause = longest_pause

    async def server(self) -> ServerFacts:
        """Ask the connected server what it is, unless it has said so on this connection."""
        return await self._administration.dialects.of(self._server(), since=self._link.lost_at)

    async def namespace_trouble(self) -> str | None:
        """Ask the connected server whether the session's namespace exists.

        Raises:
            Refused: the server does not tell this user.
        """
        return await self._administration.namespace_trouble(self._server(), self._namespace)

    def _server(self) -> Server:
        if self._link.server is None:
            raise Unreachable(f"not connected to Nacos: {self._link.trouble}")
        return self._link.server

    def start(self) -> None:
        """Begin to connect, on the running event loop."""
        self._link.start()

    async def close(self) -> None:
        """End the connection; what it had registered is gone with it."""
        await self._link.close()

    def attach(self, poke: Callable[[], None]) -> Callable[[], None]:
        """Call `poke` whenever `connection` changes; returns a function that ends that."""
        return self._link.attach(poke)

    async def register(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Publish the instance, or replace what this session published for the service."""
        await self._instance(REGISTER, service, instance, ephemeral=ephemeral)

    async def deregister(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Take the instance out."""
        await self._instance(DEREGISTER, service, instance, ephemeral=ephemeral)

    async def _instance(
        self, what: str, service: ServiceKey, instance: Instance, *, ephemeral: bool
    ) -> None:
        published = {
            "ip": instance.host,
            "port": instance.port,
            "weight": instance.weight,
            "healthy": instance.healthy,
            "enabled": instance.enabled,
            "ephemeral": ephemeral,
            "clusterName": instance.cluster,
            "serviceName": service.name,
            "metadata": dict(instance.metadata),
        }
        body = {"type": what, "instance": published}
        if ephemeral:
            await self._naming("InstanceRequest", service, body)
            return
        try:
            await self._naming("PersistentInstanceRequest", service, body)
        except Refused as error:
            if error.code != wire.NO_HANDLER:
                raise
            # Servers before 2.3 take persistent instances over HTTP only.
            method = "POST" if what == REGISTER else "DELETE"
            await self._administration.send_instance(
                method, self._namespace, service, instance, ephemeral=False
            )

    async def instances(self, service: ServiceKey) -> Listing:
        """Ask the server for the instances of a service."""
        question = {"cluster": "", "healthyOnly": False, "udpPort": 0}
        return _listing(await self._naming("ServiceQueryRequest", service, question))

    async def subscribe(self, service: ServiceKey, push: Callable[[Listing], None]) -> Listing:
        """Call `push` on every change while the connection lasts; returns the present list."""
        self._pushes[str(service)] = push
        wish = {"subscribe": True, "clusters": ""}
        return _listing(await self._naming("SubscribeServiceRequest", service, wish))

    async def unsubscribe(self, service: ServiceKey) -> None:
        """Stop the pushes."""
        self._pushes.pop(str(service), None)
        await self._naming("SubscribeServiceRequest", service, {"subscribe": False, "clusters": ""})

    async def _naming(
        self, kind: str, service: ServiceKey, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        place = {
            "namespace": self._namespace,
            "serviceName": service.name,
            "groupName": service.group,
        }
        return await self._link.call(kind, {**place, **body}, naming=str(service))

    async def fetch(self, key: DocumentKey) -> Document | None:
        """Read the document; returns None if there is no such document."""
        try:
            answer = await self._config("ConfigQueryRequest", key, {})
        except Refused as error:
            if error.code == wire.NOT_FOUND:
                return None
            raise
        kind = str(answer.get("contentType") or "yaml")
        data_key = str(answer.get("encryptedDataKey") or "")
        tried = "beta" if answer.get("beta") else "tag" if answer.get("tag") else ""
        return Document(str(answer["content"]), str(answer["md5"]), kind, data_key, tried)

    async def listen(self, key: DocumentKey, md5: str, changed: Callable[[], None]) -> bool:
        """Call `changed` on every change while the connection lasts."""
        self._changes.setdefault(key, set()).add(changed)
        context = {**self._place(key), "md5": md5}
        body = {"listen": True, "configListenContexts": [context]}
        answer = await self._link.call("ConfigBatchListenRequest", body, config="")
        return bool(answer.get("changedConfigs"))

    async def publish(
        self, key: DocumentKey, content: str, kind: str, cas_md5: str | None, data_key: str = ""
    ) -> None:
        """Write the document; with `cas_md5`, only over the document with that MD5.

        Raises:
            Conflict: the document has another MD5.
            Refused: the server is too old to compare: it would overwrite the change of another; or
                too old for `data_key`: nobody could decrypt what it keeps.
        """
        more = {"type": kind}
        if cas_md5 is not None or data_key:
            await self._refuse_old(compare=cas_md5 is not None, keep_key=bool(data_key))
        if data_key:
            more["encryptedDataKey"] = data_key
        body = {"content": content, "casMd5": cas_md5, "additionMap": more}
        try:
            await self._config("ConfigPublishRequest", key, body)
        except Refused as error:
            if cas_md5 is not None and "md5" in str(error).lower():
                raise Conflict(f"{key} is no longer the document with MD5 {cas_md5}") from error
            raise

    async def _refuse_old(self, *, compare: bool, keep_key: bool) -> None:
        await self._link.up()
        try:
            facts = await self.server()
        except (Unreachable, Refused):
            return  # without HTTP the version is not known: the server decides
        refuse_old(facts, compare=compare, keep_key=keep_key)

    async def remove(self, key: DocumentKey) -> None:
        """Delete the document."""
        await self._config("ConfigRemoveRequest", key, {})

    async def history(self, key: DocumentKey) -> tuple[Revision, ...]:
        """List the newest hundred changes of the document, the last one first, over HTTP."""
        return await self._administration.history(self._namespace, key)

    async def entry(self, key: DocumentKey, number: int) -> Document:
        """Read the document that an entry of its history keeps, over HTTP."""
        return await self._administration.entry(self._namespace, key, number)

    def _place(self, key: DocumentKey) -> dict[str, str]:
        return {"dataId": key.data_id, "group": key.group, "tenant": self._tenant}

    async def _config(
        self, kind: str, key: DocumentKey, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        resource = f"{self._tenant}+{key.group}" if self._tenant else key.group
        return await self._link.call(kind, {**self._place(key), **body}, config=resource)

    async def override(
        self, service: ServiceKey, instance: Instance, *, ephemeral: bool = True
    ) -> None:
        """Undo what somebody set by hand for this instance, over HTTP.

        Raises:
            Denied: this user may not administer the service.
        """
        await self._administration.send_instance(
            "PUT", self._namespace, service, instance, ephemeral=ephemeral
        )

    def _received(self, message: Message) -> None:
        """Hand a push to the callbacks that asked for it; called on the link's loop."""
        if message.kind == "NotifySubscriberRequest":
            info = message.body.get("serviceInfo") or {}
            push = self._pushes.get(f"{info.get('groupName')}@@{info.get('name')}")
            if push is not None:
                push(_listing(message.body))
        elif message.kind == "ConfigChangeNotifyRequest":
            key = DocumentKey(str(message.body["dataId"]), str(message.body["group"]))
            for changed in self._changes.get(key, ()):
                changed()


def _listing(body: Mapping[str, Any]) -> Listing:
    info = body.get("serviceInfo") or {}
    protected = bool(info.get("reachProtectionThreshold"))
    return listing_of(info.get("hosts") or (), protected=protected)
