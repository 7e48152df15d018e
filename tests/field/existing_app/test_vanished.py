"""Reports of applications that vanish from Nacos and do not come back, tried here.

alibaba/nacos 14106 (the same report is nacos-sdk-python 283): a FastAPI application that registers
in its lifespan is gone after a long streamed answer, while it lives: its client's beats ran on the
event loop that the answer held. nacos-sdk-python 324: an instance is gone 15 s after it was
registered. Both end the same way: nothing registers the instance anew.
"""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from stack.access import NacosAccess
from stack.nacos import NacosServer
from stack.waiting import wait_until

from tests.field.existing_app.conftest import Adopt, announced, wait_announced
from tests.field.existing_app.test_servers import ONE_LINE, SERVERS

pytestmark = [pytest.mark.nacos, pytest.mark.outage, pytest.mark.timeout(300)]

PATIENCE_OF_NACOS = 28.0
"""Seconds after which Nacos gives up a silent client: 20, a look each 3, and 5 for an answer."""
STREAM = f"""
@app.get("/stream")
async def stream() -> StreamingResponse:
    async def parts():
        yield "first "
        time.sleep({PATIENCE_OF_NACOS})
        yield "last"

    return StreamingResponse(parts())


app = with_nacos("""
STREAMING = "import time\nfrom fastapi.responses import StreamingResponse\n" + ONE_LINE.replace(
    "app = with_nacos(", STREAM
)


def test_14106_283_324_back_after_a_restart_of_nacos(adopt: Adopt, own_nacos: NacosServer) -> None:
    """A Nacos that crashes and starts again has every application within seconds."""
    own_nacos.start()
    own_nacos.wait_ready()
    nacos = own_nacos.access
    names = [f"greeter-{number}" for number, _ in enumerate(SERVERS)]
    served = {
        name: adopt(command, ONE_LINE.replace("greeter", name), nacos)
        for name, command in zip(names, SERVERS, strict=True)
    }
    for name, one in served.items():
        wait_announced(one, nacos, name)
    own_nacos.kill()
    assert [one.get("/hello").status_code for one in served.values()] == [200] * 3
    own_nacos.start()
    own_nacos.wait_ready()

    for name, one in served.items():
        wait_announced(one, nacos, name, seconds=10)


def test_14106_283_back_after_a_streamed_answer_that_held_the_event_loop(
    adopt: Adopt, nacos: NacosAccess
) -> None:
    """While nothing is answered the application is out of Nacos; then it is back within seconds."""
    one = adopt(SERVERS[0], STREAMING, nacos)
    wait_announced(one, nacos)
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(one.get, "/stream", timeout=120)
        wait_until(lambda: not announced(nacos), seconds=20, what="the held process is out")
        assert not answer.done()
        assert answer.result().text == "first last"

    wait_announced(one, nacos, seconds=10)
    assert one.warnings("Traceback") == []


def test_324_still_there_after_more_than_fifteen_seconds(adopt: Adopt, nacos: NacosAccess) -> None:
    """Nothing but the client's own beats keeps an idle application in Nacos."""
    one = adopt(SERVERS[0], ONE_LINE, nacos)
    wait_announced(one, nacos)
    began = time.monotonic()

    def is_long_ago() -> bool:
        assert announced(nacos) == [("127.0.0.1", one.port)]
        return time.monotonic() - began > PATIENCE_OF_NACOS

    wait_until(is_long_ago, seconds=60, what="Nacos would have given up a silent client")


def test_14106_283_back_after_the_process_was_frozen(adopt: Adopt, nacos: NacosAccess) -> None:
    """A process that is stopped until Nacos gives it up is in Nacos again soon after it goes on."""
    one = adopt(SERVERS[0], ONE_LINE, nacos)
    wait_announced(one, nacos)
    one.process.signal(signal.SIGSTOP)
    wait_until(lambda: not announced(nacos), seconds=60, what="Nacos gives up the silent client")
    one.process.resume()

    wait_announced(one, nacos, seconds=15)
    assert one.get("/hello").status_code == 200
