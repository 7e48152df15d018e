"""Nacos' gRPC messages: a type name, headers, and a JSON body in a protobuf envelope."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacos_client._sdk import envelope
from nacos_client.settings import TAG, NacosSettings

CLIENT_VERSION = "Nacos-Python-Client:v3.2.0"
"""The vendor's client whose dialect is spoken here; by its version the server chooses a dialect."""

OK = 200
UN_REGISTER = 301
"""Error code: the server does not know this connection (any more)."""
NO_HANDLER = 302
"""Error code: this version of the server does not know this kind of request."""
NOT_FOUND = 300
FORBIDDEN = 403


PUBLIC = "public"

LABELS = {"source": "sdk", "module": "naming"}
"""The labels of every connection: a server keeps registrations only for those of the module
`naming`, and gives documents to all."""
OWN_LABEL = "app_"
"""Stands before the key of a label of the application's own (Constants.APP_CONN_PREFIX of Java)."""


def tenant_of(namespace: str) -> str:
    """Return the name of a namespace in configuration: that of `public` is empty.

    Servers before 3.0 keep the documents of `public` under the empty name and do not translate;
    2.5 translates all requests but the one that listens for changes; later ones take both.
    """
    return "" if namespace == PUBLIC else namespace


def labels_of(settings: NacosSettings) -> dict[str, str]:
    """Return the labels of a client's connections.

    Servers since 2.5 look for the tag among the application's labels. Those before push a document
    of a tag only to the connections that have the tag as a label of its own.
    """
    own = settings.label_values
    return {**LABELS, **{f"{OWN_LABEL}{key}": text for key, text in own.items()}, **tag_of(own)}


def tag_of(labels: Mapping[str, str]) -> dict[str, str]:
    """Return the tag among the labels, as the header by which servers before 2.5 find it."""
    return {TAG: labels[TAG]} if TAG in labels else {}


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client or the server.

    Attributes:
        client_ip: the IP address by which the sender calls itself; "" if it does not say.
    """

    kind: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    client_ip: str = ""


_json = json.JSONEncoder(separators=(",", ":"))


def encode(message: Message) -> bytes:
    """Serialize a message."""
    body = _json.encode(message.body).encode()
    return envelope.write(message.kind, message.headers, body, message.client_ip)


def decode(data: bytes) -> Message:
    """Read a message.

    Raises:
        ValueError: the data are no message.
    """
    try:
        kind, headers, text, client_ip = envelope.read(data)
        body = json.loads(text or b"{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a Nacos message: {error}") from error
    if not isinstance(body, dict):
        raise ValueError(f"not a Nacos message: the body of {kind} is no JSON object")  # noqa: TRY004
    return Message(kind, body, headers, client_ip)
