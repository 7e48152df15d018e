"""The connection to Nacos, against gRPC servers that are not ready for it."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import grpc
import grpc.aio
import pytest
from nacos_client import Denied, NacosSettings
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.link import Link
from nacos_client._sdk.rpc import STREAM
from nacos_client._sdk.session import SdkSession
from nacos_client._sdk.wire import Message, decode, encode
from nacos_client.ports import DocumentKey

pytestmark = pytest.mark.anyio
NOT_READY = Message("ErrorResponse", {"resultCode": 500, "message": "server is STARTING now"}, {})


class Starting(grpc.GenericRpcHandler):
    """A server whose every answer is that it is starting."""

    def service(self, handler_call_details):  # noqa: ARG002 - gRPC's signature
        """Answer every method alike."""

        async def answer(_request, _context):
            return encode(NOT_READY)

        return grpc.unary_unary_rpc_method_handler(answer)


async def test_a_server_that_is_starting_is_no_error_of_ours(caplog):
    """Its answer to the first question is taken as a refusal: told as the trouble, no traceback."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Starting(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = NacosSettings(server_addr=f"127.0.0.1:{port - 1000}")
    with caplog.at_level(logging.DEBUG):
        link = Link(settings, "test", Administration(settings).credentials, lambda _message: None)
        link.start()
        async with asyncio.timeout(20):
            while "not connected yet" in (link.trouble or ""):  # noqa: ASYNC110 - a plain attribute
                await asyncio.sleep(0.02)
        trouble = link.trouble
        await link.close()
    await server.stop(None)

    assert trouble is not None
    assert "server is STARTING now" in trouble
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


class Silent(grpc.GenericRpcHandler):
    """A server of 2.2: it registers a connection some time after the setup, and does not say so.

    Attributes:
        asked: the kinds of the requests, in their order.
        headers: those of the last request of each kind.
    """

    def __init__(self, asks: int) -> None:
        """Know the connection after `asks` requests that come too early."""
        self.asked: list[str] = []
        self.headers: dict[str, Mapping[str, str]] = {}
        self._too_early = asks

    def service(self, handler_call_details):
        """Answer requests, and keep the stream open."""
        if handler_call_details.method == STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _stream(self, messages, _context):
        async for _ in messages:
            pass
        for never in ():
            yield never

    async def _answer(self, request, _context):
        message = decode(request)
        kind = message.kind
        self.asked.append(kind)
        self.headers[kind] = message.headers
        body = {"resultCode": 200, "errorCode": 0}
        if kind == "ServerCheckRequest":
            body["connectionId"] = "the-only-one"
        elif self._too_early:
            self._too_early -= 1
            body = {"resultCode": 500, "errorCode": 301, "message": "Connection is unregistered."}
        return encode(Message(kind.replace("Request", "Response"), body, {}))


async def test_nothing_is_asked_before_the_server_knows_the_connection():
    """Where no acknowledgement comes, beats are sent until one is taken; then calls work at once.

    Nacos before 2.3 answers an earlier request with 301, and the connection would be made anew.
    """
    handler, server = Silent(asks=3), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settings = NacosSettings(server_addr=f"127.0.0.1:{port - 1000}")
    link = Link(settings, "test", Administration(settings).credentials, lambda _message: None)
    link.start()
    await link.call("ServiceQueryRequest", {})
    assert link.connection == "the-only-one"
    await link.close()
    await server.stop(None)

    assert handler.asked == [
        "ServerCheckRequest",
        *["HealthCheckRequest"] * 4,
        "ServiceQueryRequest",
    ]


async def test_the_port_of_grpc_can_be_another():
    """One port for every server, or an amount above each server's own."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Silent(asks=0),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    for grpc_port in (str(port), f"+{port - 8848}"):
        settings = NacosSettings(server_addr="127.0.0.1:8848", grpc=grpc_port)
        link = Link(settings, "test", Administration(settings).credentials, lambda _message: None)
        link.start()
        await link.call("ServiceQueryRequest", {})
        await link.close()
    await server.stop(None)


async def test_a_temporary_key_signs_what_goes_over_grpc(tmp_path: Path):
    """Without its file nothing is asked, and the session's trouble tells why; then it signs."""
    handler, server = Silent(asks=0), grpc.aio.server()
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    file = tmp_path / "key.json"
    settings = NacosSettings(server_addr=f"127.0.0.1:{port - 1000}", credentials_file=file)
    session = SdkSession(settings, "test", Administration(settings))
    session.start()
    document = DocumentKey("models", "BLUE")
    with pytest.raises(Denied, match=f"NACOS_CREDENTIALS_FILE={file} cannot be read"):
        await session.remove(document)
    async with asyncio.timeout(20):
        while session.connection is None:  # noqa: ASYNC110 - the event is in the server
            await asyncio.sleep(0.02)
    assert f"NACOS_CREDENTIALS_FILE={file} cannot be read" in session.trouble
    assert "ConfigRemoveRequest" not in handler.asked

    key = {"AccessKeyId": "STS.id", "AccessKeySecret": "hidden", "SecurityToken": "token"}
    file.write_text(json.dumps(key))
    async with asyncio.timeout(20):
        while "ConfigRemoveRequest" not in handler.asked:
            await asyncio.sleep(0.02)  # the file is read once a second
            with contextlib.suppress(Denied):
                await session.remove(document)
    assert session.trouble is None
    await session.close()
    await server.stop(None)

    headers = handler.headers["ConfigRemoveRequest"]
    assert (headers["Spas-AccessKey"], headers["Spas-SecurityToken"]) == ("STS.id", "token")
    assert headers["Spas-Signature"]
    assert "hidden" not in str(headers)
