"""What the server answers by gRPC, and what it pushes."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import grpc
from nacos_client._sdk.rpc import REQUEST, STREAM
from nacos_client._sdk.wire import (
    FORBIDDEN,
    NO_HANDLER,
    NOT_FOUND,
    OK,
    OWN_LABEL,
    UN_REGISTER,
    Message,
    decode,
    encode,
)
from nacos_client.ports import DocumentKey, ServiceKey
from nacos_client.settings import TAG
from nacos_client.testing import document_of

from tests.nacos_wire.character import Character
from tests.nacos_wire.registry import Published, Reader, Registry, Service, Text
from tests.nacos_wire.traits import Trait

FAILED = 500
REGISTERING_SECONDS = 0.03
"""Seconds from a connection's setup until the server knows the connection: long enough that a
client that does not wait is told so. Real servers take some milliseconds."""


@dataclass(slots=True)
class Connection:
    """A client's connection, and what ends with it beside its registrations.

    Attributes:
        outgoing: the messages that the server has for the client; None ends the connection.
        services: the services whose changes are pushed.
        texts: the documents whose changes are pushed, each with the tenant as the client spells it.
        ip: the IP address by which the client calls itself.
        labels: of the connection.
        headers: of the latest request.
    """

    ip: str
    labels: Mapping[str, str]
    headers: Mapping[str, str] = field(default_factory=dict)
    outgoing: SimpleQueue[Message | None] = field(default_factory=SimpleQueue)
    services: set[Service] = field(default_factory=set)
    texts: dict[Text, str] = field(default_factory=dict)


class GrpcApi(grpc.GenericRpcHandler):
    """The two methods of Nacos' gRPC service.

    gRPC calls them in threads of its own; all else here runs on the server's event loop.
    """

    def __init__(
        self, character: Character, registry: Registry, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._loop = loop
        self._character = character
        self._registry = registry
        self._connections: dict[str, Connection] = {}
        self._numbers = itertools.count(1)
        registry.service_changed.append(self._push_service)
        registry.document_changed.append(self._push_document)
        # The kind of each answer stands beside its handler: a refusal has the same kind.
        self._handlers: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
            "InstanceRequest": ("InstanceResponse", self._instance),
            "ServiceQueryRequest": ("QueryServiceResponse", self._query_service),
            "SubscribeServiceRequest": ("SubscribeServiceResponse", self._subscribe),
            "ConfigQueryRequest": ("ConfigQueryResponse", self._query_document),
            "ConfigPublishRequest": ("ConfigPublishResponse", self._publish_document),
            "ConfigRemoveRequest": ("ConfigRemoveResponse", self._remove_document),
            "ConfigBatchListenRequest": ("ConfigChangeBatchListenResponse", self._listen),
        }
        if character.has(Trait.HAS_PERSISTENT_INSTANCES_BY_GRPC):
            self._handlers["PersistentInstanceRequest"] = ("InstanceResponse", self._persistent)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Return what handles a method."""
        if details.method == REQUEST:
            return grpc.unary_unary_rpc_method_handler(self._request)
        if details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return None

    def _request(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        async def answer() -> Message:
            return self._answer(decode(data), context.peer())

        return encode(asyncio.run_coroutine_threadsafe(answer(), self._loop).result())

    def _answer(self, asked: Message, peer: str) -> Message:
        if asked.kind == "ServerCheckRequest":
            able = self._character.has(Trait.SAYS_THAT_IT_REGISTERED)
            ability = {"supportAbilityNegotiation": True} if able else {}
            return Message("ServerCheckResponse", succeeded(connectionId=peer, **ability), {})
        if asked.kind not in {*self._handlers, "HealthCheckRequest"}:
            return error(NO_HANDLER, "RequestHandler Not Found")
        if peer not in self._connections:
            return error(UN_REGISTER, "Connection is unregistered.")
        if asked.kind == "HealthCheckRequest":
            return Message("HealthCheckResponse", succeeded(), {})
        self._connections[peer].headers = asked.headers
        kind, handler = self._handlers[asked.kind]
        if self._character.auth and not self._character.admits(asked.headers):
            return Message(kind, failed(FORBIDDEN, "user not found!"), {})
        return Message(kind, handler(asked.body, peer), {})

    def _stream(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        # The messages after the setup acknowledge pushes; nothing depends on them.
        setup = decode(next(messages))
        connection = Connection(setup.client_ip, setup.body.get("labels", {}))
        if not context.add_callback(lambda: connection.outgoing.put(None)):
            return
        able = "abilityTable" in setup.body
        self._loop.call_soon_threadsafe(
            self._loop.call_later, REGISTERING_SECONDS, self._gained, context, connection, able
        )
        try:
            while (message := connection.outgoing.get()) is not None:
                yield encode(message)
        finally:
            self._loop.call_soon_threadsafe(self._lost, context.peer())

    def _gained(self, context: grpc.ServicerContext, connection: Connection, able: bool) -> None:
        if not context.is_active():
            return
        self._connections[context.peer()] = connection
        if able and self._character.has(Trait.SAYS_THAT_IT_REGISTERED):
            connection.outgoing.put(Message("SetupAckRequest", {"abilityTable": {}}, {}))

    def _lost(self, peer: str) -> None:
        self._connections.pop(peer, None)
        self._registry.withdraw_all(peer)

    def _instance(self, body: Mapping[str, Any], peer: str) -> dict[str, Any]:
        return self._change(body, peer)

    def _persistent(self, body: Mapping[str, Any], _: str) -> dict[str, Any]:
        instance = body["instance"]
        return self._change(body, f"{instance['ip']}:{instance['port']}#persistent")

    def _change(self, body: Mapping[str, Any], client: str) -> dict[str, Any]:
        service = service_of(body)
        if body["type"] == "registerInstance":
            published = {k: v for k, v in body["instance"].items() if k != "serviceName"}
            self._registry.publish(service, client, Published(published))
        else:
            self._registry.withdraw(service, client)
        return succeeded(type=body["type"])

    def _query_service(self, body: Mapping[str, Any], _: str) -> dict[str, Any]:
        listing = self._registry.listing(service_of(body), healthy_only=body["healthyOnly"])
        return succeeded(serviceInfo=listing)

    def _subscribe(self, body: Mapping[str, Any], peer: str) -> dict[str, Any]:
        service = service_of(body)
        services = self._connections[peer].services
        (services.add if body["subscribe"] else services.discard)(service)
        return succeeded(serviceInfo=self._registry.listing(service))

    def _query_document(self, body: Mapping[str, Any], peer: str) -> dict[str, Any]:
        connection, among_labels = self._connections[peer], Trait.LOOKS_FOR_THE_TAG_AMONG_LABELS
        header = connection.headers.get(TAG, "")
        label = connection.labels.get(f"{OWN_LABEL}{TAG}", "")
        reader = Reader(connection.ip, label if self._character.has(among_labels) else header)
        document = self._registry.read(self._text(body, Trait.FINDS_DOCUMENTS_OF_PUBLIC), reader)
        if document is None:
            return failed(NOT_FOUND, "config data not exist")
        found = {"content": document.content, "md5": document.md5, "contentType": document.type}
        if document.data_key:
            found["encryptedDataKey"] = document.data_key
        tried = {"beta": {"beta": True}, "tag": {"tag": reader.tag}}.get(document.tried, {})
        return succeeded(**found, **tried)

    def _publish_document(self, body: Mapping[str, Any], _: str) -> dict[str, Any]:
        text = self._text(body, Trait.FINDS_DOCUMENTS_OF_PUBLIC)
        expected = body.get("casMd5")
        compares = self._character.has(Trait.COMPARES_BEFORE_IT_SETS)
        if expected and compares and expected != self._registry.md5(text):
            return failed(FAILED, "Cas publish fail,server md5 may have changed.")
        more = body["additionMap"]
        keeps_it = self._character.has(Trait.KEEPS_KEYS_OF_DOCUMENTS)
        data_key = more.get("encryptedDataKey", "") if keeps_it else ""
        document = document_of(body["content"], more.get("type") or "text", data_key)
        self._registry.write(text, document)
        return succeeded()

    def _remove_document(self, body: Mapping[str, Any], _: str) -> dict[str, Any]:
        self._registry.write(self._text(body, Trait.FINDS_DOCUMENTS_OF_PUBLIC), None)
        return succeeded()

    def _listen(self, body: Mapping[str, Any], peer: str) -> dict[str, Any]:
        connection, changed = self._connections[peer], list[dict[str, str]]()
        texts, reader = connection.texts, self._listener(connection)
        for context in body["configListenContexts"]:
            text = self._text(context, Trait.FINDS_LISTENERS_OF_PUBLIC)
            if not body["listen"]:
                texts.pop(text, None)
                continue
            texts[text] = context["tenant"]
            if self._registry.md5(text, reader) != context["md5"]:
                changed.append({key: context[key] for key in ("group", "dataId", "tenant")})
        return succeeded(changedConfigs=changed)

    def _listener(self, connection: Connection) -> Reader:
        """Return a client that listens, whose header counts in every version."""
        tag = connection.headers.get(TAG)
        if tag is None and self._character.has(Trait.LOOKS_FOR_THE_TAG_AMONG_LABELS):
            tag = connection.labels.get(f"{OWN_LABEL}{TAG}")
        return Reader(connection.ip, tag or "")

    def _text(self, place: Mapping[str, Any], trait: Trait) -> Text:
        tenant = self._character.tenant(place["tenant"], trait)
        return tenant, DocumentKey(place["dataId"], place["group"])

    def _push_service(self, service: Service) -> None:
        for connection in self._connections.values():
            if service in connection.services:
                listing = self._registry.listing(service)
                self._push(connection, "NotifySubscriberRequest", serviceInfo=listing)

    def _push_document(self, text: Text, tag: str) -> None:
        _, key = text
        to_all = not tag or self._character.has(Trait.PUSHES_A_TRIAL_TO_ALL)
        for connection in self._connections.values():
            if text in connection.texts and (to_all or connection.labels.get(TAG) == tag):
                place = {"dataId": key.data_id, "group": key.group}
                tenant = connection.texts[text]
                body = {**place, "tenant": tenant} if tenant else place
                self._push(connection, "ConfigChangeNotifyRequest", **body)

    def _push(self, connection: Connection, kind: str, **body: Any) -> None:
        number = str(next(self._numbers))
        connection.outgoing.put(Message(kind, {"requestId": number, **body}, {}))


def service_of(place: Mapping[str, Any]) -> Service:
    """Return the service that a request names."""
    return place["namespace"], ServiceKey(place["serviceName"], place["groupName"])


def succeeded(**body: Any) -> dict[str, Any]:
    """Return the body of a good answer."""
    return {"resultCode": OK, "errorCode": 0, "success": True, **body}


def failed(code: int, message: str) -> dict[str, Any]:
    """Return the body of an answer that tells an error."""
    return {"resultCode": FAILED, "errorCode": code, "message": message, "success": False}


def error(code: int, message: str) -> Message:
    """Return an answer that no handler gave."""
    return Message("ErrorResponse", failed(code, message), {})
