"""Our envelope of Nacos' messages and the vendor's generated one read each other's bytes."""

import json
from contextlib import suppress

import pytest
from hypothesis import example, given, strategies as st
from nacos_client._sdk import envelope
from nacos_client._sdk.wire import Message, decode, encode
from v2.nacos.transport.grpcauto.nacos_grpc_service_pb2 import Payload

texts = st.text(st.characters(exclude_categories=["Cs"]))
headers = st.dictionaries(texts, texts, max_size=5)
bodies = st.dictionaries(texts, st.integers() | texts | st.lists(texts) | st.none(), max_size=5)
messages = st.builds(Message, texts, bodies, headers, texts)
LONG = Message("T" * 127, {"text": "x" * 2**14}, {"h" * 128: "v" * 2**14}, "10.0.0.1")


@given(messages)
@example(LONG)
def test_the_vendor_reads_what_we_write(message: Message) -> None:
    """Kind, headers, body and IP of each message of ours are there in the vendor's payload."""
    payload = Payload.FromString(encode(message))

    assert payload.metadata.type == message.kind
    assert dict(payload.metadata.headers) == message.headers
    assert payload.metadata.clientIp == message.client_ip
    assert json.loads(payload.body.value) == message.body


@given(messages, texts)
@example(LONG, "type.example/Nacos")
def test_we_read_what_the_vendor_writes(message: Message, url: str) -> None:
    """The same the other way round; fields that are not used here are passed over."""
    payload = Payload()
    payload.metadata.type = message.kind
    payload.metadata.clientIp = message.client_ip
    payload.metadata.headers.update(message.headers)
    payload.body.type_url = url
    payload.body.value = json.dumps(message.body).encode()

    assert decode(payload.SerializeToString()) == message


@given(messages)
def test_fields_of_a_later_version_are_passed_over(message: Message) -> None:
    """A number, eight bytes, four bytes and a text under unknown numbers change nothing."""
    later = b"\x78\xff\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4) + b"\x7a\x02hi"

    assert decode(later + encode(message) + later) == message


@given(messages, st.data())
def test_a_message_with_its_end_missing_is_refused(message: Message, data: st.DataObject) -> None:
    """Cut anywhere in its body, it is refused."""
    whole = encode(message)
    empty = envelope.write(message.kind, message.headers, b"", message.client_ip)
    metadata = len(empty) - len(b"\x1a\x02\x12\x00")
    end = data.draw(st.integers(metadata + 1, len(whole) - 1))

    with pytest.raises(ValueError, match="not a Nacos message"):
        decode(whole[:end])


@given(st.binary(max_size=60))
@example(b"\x80" * 11)
@example(b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
def test_noise_is_refused_or_read(noise: bytes) -> None:
    """Nothing but a ValueError comes of bytes that are no envelope."""
    with suppress(ValueError):
        envelope.read(noise)


@pytest.mark.parametrize("body", [b"[]", b"7", b"{", b"\xff", b"[" * 100_000])
def test_a_body_is_a_json_object(body: bytes) -> None:
    """Every other body is refused."""
    with pytest.raises(ValueError, match="not a Nacos message"):
        decode(envelope.write("Kind", {}, body))
