"""The protobuf envelope of Nacos' gRPC messages, written and read without a protobuf library.

Nacos defines it so (api/src/main/proto/nacos_grpc_service.proto, the same since 2.0.0):

    message Metadata { string type = 3; map<string, string> headers = 7; string clientIp = 8; }
    message Payload { Metadata metadata = 2; google.protobuf.Any body = 3; }

These few lines load in no time, where importing the library is a part of every start; a test
proves that they and the vendor's own messages read each other.
"""

from collections.abc import Iterator, Mapping

METADATA, BODY = 2, 3
KIND, HEADERS, CLIENT_IP = 3, 7, 8
KEY, VALUE = 1, 2
"""The numbers of the fields: of a payload, of its metadata, of a header and of the body."""

VARINT, EIGHT_BYTES, SIZED, FOUR_BYTES = 0, 1, 2, 5
"""The kinds of fields on the wire; all that is read here is sized."""
VARINT_BYTES = 10


def write(kind: str, headers: Mapping[str, str], body: bytes, client_ip: str = "") -> bytes:
    """Write an envelope; `client_ip` is the IP address by which the sender calls itself."""
    metadata = [_field(KIND, kind.encode())]
    for name, value in headers.items():
        entry = _field(KEY, name.encode()) + _field(VALUE, value.encode())
        metadata.append(_field(HEADERS, entry))
    if client_ip:
        metadata.append(_field(CLIENT_IP, client_ip.encode()))
    return _field(METADATA, b"".join(metadata)) + _field(BODY, _field(VALUE, body))


def read(data: bytes) -> tuple[str, dict[str, str], bytes, str]:
    """Read kind, headers, body and client's IP of an envelope; unknown fields are passed over.

    Raises:
        ValueError: the data are no envelope.
    """
    kind, headers, body, client_ip = "", dict[str, str](), b"", ""
    for number, content in _fields(data):
        if number == METADATA:
            for inner, value in _fields(content):
                if inner == KIND:
                    kind = value.decode()
                elif inner == CLIENT_IP:
                    client_ip = value.decode()
                elif inner == HEADERS:
                    entry = dict(_fields(value))
                    headers[entry.get(KEY, b"").decode()] = entry.get(VALUE, b"").decode()
        elif number == BODY:
            body = dict(_fields(content)).get(VALUE, body)
    return kind, headers, body, client_ip


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | SIZED]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte; the eighth says that more follow
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the content of each sized field.

    Raises:
        ValueError: the data end within a field, or have a field of a kind that is out of use.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        kind, size = tag & 0b111, 0
        if kind == VARINT:
            _, at = _read_varint(data, at)
        elif kind == SIZED:
            size, at = _read_varint(data, at)
        elif kind in {EIGHT_BYTES, FOUR_BYTES}:
            size = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"a field of the kind {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"{size} bytes are announced at byte {at}, {len(data) - at} are there")
        if kind == SIZED:
            yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a byte, and where the next field begins."""
    number = 0
    for place, byte in enumerate(data[at : at + VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:  # noqa: PLR2004
            return number, at + place + 1
    raise ValueError(f"a number without an end at byte {at}")
