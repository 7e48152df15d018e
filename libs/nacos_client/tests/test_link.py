"""The connection to Nacos, against a gRPC server that is not ready."""

import asyncio
import logging

import grpc
import grpc.aio
import pytest
from nacos_client import NacosSettings
from nacos_client._sdk.administration import Administration
from nacos_client._sdk.link import Link
from nacos_client._sdk.wire import Message, encode

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
