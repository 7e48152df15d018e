"""Nacos' gRPC messages: a type name, headers, and a JSON body in a protobuf envelope."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nacos_client._sdk import envelope

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


def tenant_of(namespace: str) -> str:
    """Return the name of a namespace in configuration: that of `public` is empty.

    Servers before 3.0 keep the documents of `public` under the empty name and do not translate;
    2.5 translates all requests but the one that listens for changes; later ones take both.
    """
    return "" if namespace == PUBLIC else namespace


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client or the server."""

    kind: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


_json = json.JSONEncoder(separators=(",", ":"))


def encode(message: Message) -> bytes:
    """Serialize a message."""
    return envelope.write(message.kind, message.headers, _json.encode(message.body).encode())


def decode(data: bytes) -> Message:
    """Read a message.

    Raises:
        ValueError: the data are no message.
    """
    try:
        kind, headers, text = envelope.read(data)
        body = json.loads(text or b"{}")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a Nacos message: {error}") from error
    if not isinstance(body, dict):
        raise ValueError(f"not a Nacos message: the body of {kind} is no JSON object")  # noqa: TRY004
    return Message(kind, body, headers)
