"""Nacos' gRPC messages: a type name, headers, and a JSON body in a protobuf envelope."""

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from v2.nacos.transport.grpcauto.nacos_grpc_service_pb2 import Payload

CLIENT_VERSION = "Nacos-Python-Client:v3.2.0"
"""The vendor's client whose dialect is spoken here; by its version the server chooses a dialect."""

OK = 200
UN_REGISTER = 301
"""Error code: the server does not know this connection (any more)."""
NOT_FOUND = 300
FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the client or the server."""

    kind: str
    body: Mapping[str, Any]
    headers: Mapping[str, str]


def _generated() -> ModuleType:
    """Load the SDK's generated messages from their file.

    Importing them by name would run the SDK's package, which imports its cloud and AI clients: ten
    times the time, and 45 MB of memory, for nothing that is used here.

    Raises:
        ImportError: the SDK is not installed, or has moved its messages.
    """
    package = importlib.util.find_spec("v2")
    if package is None or not package.submodule_search_locations:
        raise ImportError("nacos-sdk-python is not installed")
    name = "nacos_grpc_service_pb2"
    inside = Path("nacos", "transport", "grpcauto", f"{name}.py")
    file = Path(package.submodule_search_locations[0], inside)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"nacos-sdk-python has no {inside}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_messages = _generated()
_json = json.JSONEncoder(separators=(",", ":"))


def encode(message: Message) -> bytes:
    """Serialize a message."""
    payload: Payload = _messages.Payload()
    payload.metadata.type = message.kind
    payload.metadata.headers.update(message.headers)
    payload.body.value = _json.encode(message.body).encode()
    data: bytes = payload.SerializeToString()
    return data


def decode(data: bytes) -> Message:
    """Read a message.

    Raises:
        ValueError: the data are no message.
    """
    try:
        payload: Payload = _messages.Payload.FromString(data)
        body = json.loads(payload.body.value or b"{}")
    except Exception as error:  # protobuf's DecodeError has no closer base
        raise ValueError(f"not a Nacos message: {error}") from error
    return Message(payload.metadata.type, body, dict(payload.metadata.headers))
