"""The console as people use it, in a real Chromium, on a gateway of two workers.

`make console-pictures` keeps what the browser shows in docs/console.
"""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from failover import Instance
from gateway.console.app import MAX_STREAMS
from gateway.routing.document import DATA_ID, RoutesDocument
from nacos_client import NacosSettings
from nacos_client.testing import FakeNacos
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from stack.ports import free_port
from stack.process import Process, clean_environment
from stack.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PATIENCE_SECONDS = 60
SERVICE = "car-evaluation"
TOKEN = "correct-horse-battery"  # noqa: S105 - of this test alone
OPENED_BY = sha256(b"opener").hexdigest()
DOCUMENT = f"""
routes:
  - path: /cars
    service: {SERVICE}
    strip_prefix: /cars
    split: [{{metadata: {{model_version: "1.1.0"}}, weight: 20}}]
    shadow: {{service: points}}
  - {{path: /locked, service: points, strip_prefix: /locked, keys: [{OPENED_BY}]}}
"""
EVIL = "<script>document.title='taken'</script>"
API = {
    "openapi": "3.1.0",
    "info": {"title": "Cars", "version": "1"},
    "paths": {"/predict": {"post": {"responses": {"200": {"description": "A class."}}}}},
}
ELSEWHERE = [{"url": "http://127.0.0.1:9/"}]
ORDER = "/../../console/order"
EVIL_API = {
    "openapi": "3.0.1",
    "info": {
        "title": EVIL, "version": EVIL, "contact": {"name": "c", "url": "javascript:alert(1)"},
        "description": f"{EVIL}<img src=data:, onerror=\"document.title='taken'\">"
        "[a](javascript:alert(1))",
    },
    "servers": ELSEWHERE,
    "paths": {
        ORDER: {"post": {"summary": EVIL, "servers": ELSEWHERE, "responses": {"200": {}}}},
        "/referring": {"get": {"responses": {"200": {"$ref": "http://127.0.0.1:9/x#/a"}}}},
    },
}  # fmt: skip


METRICS = """model_psi{of="safety"} 0.31
model_psi{of="maint"} 0.14
model_psi{of="doors"} 0.02
model_psi{of="class"} 0.19
model_predictions_total{label="unacc",model_version="1.0.0"} 812.0
model_predictions_total{label="acc",model_version="1.0.0"} 240.0
model_predictions_total{label="good",model_version="1.0.0"} 61.0
model_predictions_total{label="vgood",model_version="1.0.0"} 52.0
http_problems_total{status="422",type="invalid-rows"} 40.0
http_problems_total{status="400",type="invalid-json"} 3.0
http_request_duration_seconds_count{method="POST",status="200"} 1165.0
http_request_duration_seconds_count{method="POST",status="422"} 43.0
"""


class Answering(BaseHTTPRequestHandler):
    """An instance that answers every request, one in ten with 500 if it is told to."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:  # the name that http.server wants
        """Answer with JSON."""
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._tell({"labels": ["acc"], "path": self.path})

    def _tell(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """Answer."""
        if self.path == "/openapi.json":
            self._tell(EVIL_API if self.server.server_name == "evil" else API)
            return
        if self.path == "/metrics":
            self._send(METRICS.encode(), "text/plain; version=0.0.4")
            return
        type(self).asked += 1
        bad = self.server.server_name == "bad" and self.asked % 3 == 0
        self.send_response(500 if bad else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        """Say nothing."""


class Forgiving(ThreadingHTTPServer):
    """A server of connections that the gateway may give up."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a connection that is gone: a second attempt was quicker."""


@contextmanager
def instance(name: str = "good") -> Iterator[int]:
    """An instance on a port of its own."""
    handler = type("Handler", (Answering,), {})
    server = Forgiving(("127.0.0.1", 0), handler)
    server.server_name = name
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


async def remember(cache: Path, instances: list[Instance], evil: Instance) -> None:
    """Leave on disk what an earlier gateway saw of Nacos."""
    fake = FakeNacos()
    for one in instances:
        fake.put_instance(SERVICE, one)
    fake.put_instance("points", instances[0])
    fake.put_instance("evil", evil)
    fake.publish(DATA_ID, DOCUMENT)
    settings = NacosSettings(server_addr="127.0.0.1:1", cache_dir=cache)
    async with fake.client(settings) as nacos:
        await nacos.discover(SERVICE).known()
        await nacos.discover("points").known()
        await nacos.discover("evil").known()
        await nacos.watch(DATA_ID, RoutesDocument).start()
        await asyncio.to_thread(
            wait_until, lambda: _files(cache) >= 4, seconds=10, what="all of it is on disk"
        )


def _files(folder: Path) -> int:
    return len([one for one in folder.rglob("*") if one.is_file()])


@pytest.fixture(scope="module", name="ports")
def _ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The admin port and the data port of a gateway that has served some hundred requests."""
    folder = tmp_path_factory.mktemp("console")
    port, admin = free_port(), free_port()
    with (
        instance() as first,
        instance() as second,
        instance("bad") as bad,
        instance("evil") as evil,
        socket.socket() as no,
    ):
        no.bind(("127.0.0.1", 0))
        labels = {"model_version": "1.0.0", "zone": "a"}
        new = {"model_version": "1.1.0", "zone": "b", "gateway.canary": "true"}
        instances = [
            Instance("127.0.0.1", first, metadata=labels),
            Instance("127.0.0.1", second, metadata={**labels, "zone": EVIL}),
            Instance("127.0.0.1", bad, metadata=new),
            Instance("127.0.0.1", no.getsockname()[1], metadata=labels),
        ]
        asyncio.run(remember(folder, instances, Instance("127.0.0.1", evil)))
        environment = {
            **clean_environment(), "NACOS_SERVER_ADDR": "127.0.0.1:1",
            "NACOS_CACHE_DIR": str(folder), "HOST": "127.0.0.1", "PORT": str(port),
            "GATEWAY_ADMIN_PORT": str(admin), "DRAIN_SECONDS": "0", "GATEWAY_WORKERS": "2",
            "GATEWAY_ADMIN_TOKEN": TOKEN, "GATEWAY_ACCESS_LOG": "false",
            "GATEWAY_DOCS": "true",
        }  # fmt: skip
        argv = [os.sys.executable, "-m", "gateway"]
        process = Process.start("gateway", argv, env=environment, log=folder / "log")
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{admin}", trust_env=False) as http:
                wait_until(lambda: _answers(http, "/readyz"), seconds=60, what="it is ready")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
                wait_until(lambda: _answers(http, "/cars/x"), seconds=60, what="it serves")
                http.post("/evil/")
                for _ in range(600):
                    http.get("/cars/x", headers={"connection": "close"})
            yield f"http://127.0.0.1:{admin}/", f"http://127.0.0.1:{port}/"
        finally:
            process.stop(grace=20)


@pytest.fixture(scope="module", name="admin")
def _admin(ports: tuple[str, str]) -> str:
    """The admin port."""
    return ports[0]


def _answers(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(autouse=True)
def _fresh(browser: Chrome, admin: str) -> Iterator[None]:
    """Begin each test signed out, with an empty log, in English; end it without a complaint."""
    browser.get("about:blank")
    browser.delete_all_cookies()
    browser.get(admin)
    browser.delete_all_cookies()
    browser.get("about:blank")
    browser.get_log("browser")
    yield
    complaints = [one["message"] for one in browser.get_log("browser")]
    browser.get("about:blank")
    browser.set_window_size(1000, 900)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert [one for one in complaints if "favicon" not in one and "401" not in one] == []


def shown(browser: Chrome, css: str, text: str = "") -> None:
    """Return when an element is there whose text contains this."""
    WebDriverWait(browser, PATIENCE_SECONDS, ignored_exceptions=()).until(
        lambda _: text in _text(browser, css), f"no {text!r} in {css}"
    )


def _text(browser: Chrome, css: str) -> str:
    """The text of an element at this moment; an element may be replaced while it is looked at."""
    return browser.execute_script(
        "const found = document.querySelector(arguments[0]);return found ? found.innerText : '\\0'",
        css,
    )


def sign_in(browser: Chrome, admin: str, query: str = "?lang=en") -> None:
    """Show the token by keyboard."""
    browser.get(admin + query)
    focused(browser, "input[name=token]").send_keys(TOKEN, Keys.ENTER)
    shown(browser, "#live", "live" if "zh" not in query else "实时")
    if query:
        browser.get(admin + query)


def focused(browser: Chrome, css: str) -> WebElement:
    """Return this element once it has the focus, as it gets by itself."""
    has_it = "return document.activeElement.matches(arguments[0])"
    WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda _: browser.execute_script(has_it, css), f"{css} has no focus"
    )
    return browser.switch_to.active_element


def press(browser: Chrome, css: str) -> None:
    """Press Enter on a link; it keeps the focus while its part of the page is replaced."""
    browser.execute_script("document.querySelector(arguments[0]).focus()", css)
    ActionChains(browser).send_keys(Keys.ENTER).perform()


def say_yes(browser: Chrome) -> None:
    """Press Enter at the question."""
    focused(browser, "form.notice button").send_keys(Keys.ENTER)


def picture(browser: Chrome, name: str) -> None:
    """Keep a screenshot where SCREENSHOTS says, if it says so."""
    if folder := os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


def look_like(browser: Chrome, width: int, height: int, scheme: str = "light") -> None:
    """Be a screen of this size, for a person who likes light or dark."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def test_what_a_person_asks_at_night(browser, admin):
    """Rates, the ejected instance with reason and probe, the canary's verdict, the route in force.

    What its model meets comes by itself. Nothing of it is there before the token; a name that is
    markup is text.
    """
    browser.get(admin)
    assert SERVICE not in browser.page_source
    sign_in(browser, admin, f"?lang=en&service={SERVICE}")

    shown(browser, "#service", "it refuses connections")
    shown(browser, "#service", "probe")
    shown(browser, "#service", EVIL)
    shown(browser, "#releases", "Worse: it fails more often")
    shown(browser, "#timeline", "was ejected: it refuses connections")
    shown(browser, "#routes", "/cars")
    shown(browser, "#models", "much: look into it")
    shown(browser, "#models", "invalid-rows")
    shown(browser, f"[id='service-{SERVICE}'] td:nth-child(4)", "%")
    WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda _: browser.find_elements(By.CSS_SELECTOR, ".area[d^=M]"), "no chart"
    )
    assert browser.title == "Gateway"
    look_like(browser, 1400, 2000)
    picture(browser, "console")
    look_like(browser, 1400, 2000, "dark")
    picture(browser, "console-dark")


def test_an_order_by_keyboard_alone(browser, admin):
    """Drain, read the question, say yes, see it in the timeline without a reload, take it back."""
    sign_in(browser, admin, f"?lang=en&service={SERVICE}")
    press(browser, "#service tbody tr a.button")
    shown(browser, "form.notice", "Send nothing new to")
    picture(browser, "console-order")
    say_yes(browser)
    shown(browser, ".notice", "Done in this gateway alone")
    shown(browser, "#timeline", "was drained")
    shown(browser, "#service", "drained by an operator")

    shown(browser, "#timeline a.button", "Undo")
    press(browser, "#timeline a.button")
    shown(browser, "form.notice", "again?")
    say_yes(browser)
    shown(browser, "#timeline", "was let back")


def test_where_a_request_would_go(browser, admin):
    """The form is answered by the code that decides: shares, instances, what may be tried again."""
    sign_in(browser, admin)
    target = browser.find_element(By.NAME, "target")
    target.clear()
    target.send_keys("/cars/api/v1/predict?x=1")
    target.submit()

    shown(browser, "#answer", f"To {SERVICE}, as /api/v1/predict?x=1")
    shown(browser, "#answer", "20 % to model_version=1.1.0")
    shown(browser, "#answer", "It may run twice: its method is idempotent")
    browser.execute_script("document.getElementById('where').scrollIntoView()")
    picture(browser, "console-where")


def test_a_page_too_many_becomes_live_once_another_is_closed(browser, admin):
    """It shows what was true when it was opened, says so, and asks again by itself."""
    sign_in(browser, admin)
    with httpx.Client(base_url=admin, trust_env=False, timeout=30) as http, ExitStack() as others:
        form = {"token": TOKEN}
        assert http.post("/console/sign-in", data=form, headers={"origin": admin[:-1]}).is_redirect
        browser.get("about:blank")

        def is_taken() -> bool:
            answer = others.enter_context(http.stream("GET", "/console/events"))
            return answer.status_code == 200

        for _ in range(MAX_STREAMS):
            wait_until(is_taken, seconds=PATIENCE_SECONDS, what="the browser's own page is gone")
        browser.get(admin)
        shown(browser, "#live", "not live")
    WebDriverWait(browser, PATIENCE_SECONDS).until(
        lambda _: _text(browser, "#live") == "live", "it is not live again"
    )
    complaints = [one["message"] for one in browser.get_log("browser")]
    assert [one for one in complaints if "503" not in one] == []


def test_what_is_tried_out_at_the_page_of_apis_goes_through_the_gateway(browser, admin, try_out):
    """A real click in the admin port's page has a service's answer; the page asks no other host."""
    sign_in(browser, admin)
    browser.find_element(By.LINK_TEXT, "API").click()
    shown(browser, "#services", "Cars 1, operations: 1")

    tried = try_out(f"{admin}docs?lang=en&service={SERVICE}", "/predict")

    assert tried.status == "200"
    assert tried.answer == {"labels": ["acc"], "path": "/predict"}
    assert f"{admin}docs/try/cars/predict" in tried.requested
    assert tried.hosts == {admin.removeprefix("http://").rstrip("/")}
    assert tried.complaints == []
    shown(browser, ".curl-command", "/cars/predict")
    assert "docs/try" not in _text(browser, ".curl-command")
    look_like(browser, 1000, 1400)
    picture(browser, "console-apis")


def test_a_route_with_a_key_is_tried_out_with_the_key(browser, admin):
    """The page has a place for it, and the gateway opens the route."""

    def click(css: str) -> WebElement:
        waiting = WebDriverWait(browser, PATIENCE_SECONDS)
        found = waiting.until(lambda _: browser.find_elements(By.CSS_SELECTOR, css), css)[0]
        found.click()
        return found

    sign_in(browser, admin)
    browser.get(f"{admin}docs?lang=en&service=points")
    click(".btn.authorize")
    click(".auth-container input").send_keys("opener")
    click(".auth-btn-wrapper .authorize")
    click(".auth-btn-wrapper .btn-done")
    for css in (".opblock-summary-control", ".try-out__btn", ".btn.execute"):
        click(css)

    shown(browser, ".live-responses-table tbody .response-col_status", "200")
    shown(browser, ".request-url", "/locked/predict")


def test_the_data_port_has_the_page_too_if_it_is_switched_on(ports, try_out):
    """Without a token; what is tried out goes there directly, below the service's prefix."""
    data = ports[1]

    tried = try_out(f"{data}docs?lang=en&service={SERVICE}", "/predict")

    assert tried.status == "200"
    assert tried.answer == {"labels": ["acc"], "path": "/predict"}
    assert f"{data}cars/predict" in tried.requested
    assert tried.hosts == {data.removeprefix("http://").rstrip("/")}
    assert tried.complaints == []


@pytest.mark.parametrize("query", ["", f"&service={SERVICE}"])
@pytest.mark.parametrize("width", [360, 3840])
def test_the_page_of_apis_fits_every_screen(browser, admin, width, query):
    """Nothing is wider than the screen, in the list and beside a document."""
    sign_in(browser, admin)
    look_like(browser, width, 900)
    wanted = (".opblock-summary-path", "predict") if query else ("#services", "")
    browser.get(f"{admin}docs?lang=en{query}")
    try:
        shown(browser, *wanted)
    except TimeoutException:  # of a document that came too late the page tells until it is reloaded
        browser.refresh()
        shown(browser, *wanted)

    wide = browser.execute_script(
        "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    )
    assert wide <= 0


def test_a_hostile_document_gives_no_order_and_leads_nowhere(browser, admin, try_out):
    """Its paths and servers lead to the gateway's callers' port alone, and its markup is text."""
    sign_in(browser, admin)

    tried = try_out(f"{admin}docs?lang=en&service=evil", ORDER)

    assert tried.status.startswith("503")  # of the data port, where no service has this name
    assert f"{admin}docs/try/console/order" in tried.requested
    assert tried.hosts == {admin.removeprefix("http://").rstrip("/")}
    assert browser.title == "Gateway"
    assert browser.find_elements(By.CSS_SELECTOR, "a[href^='javascript:']") == []
    browser.get("about:blank")
    complaints = [one["message"] for one in browser.get_log("browser")] + tried.complaints
    assert {("Content Security Policy" in one, "503" in one) for one in complaints} == {
        (True, False),  # Swagger UI tries the document's markup before it is cleaned
        (False, True),
    }


@pytest.mark.parametrize("width", [360, 768, 1280, 3840])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_screen(browser, admin, width, scheme, language):
    """Nothing is wider than the screen, from a phone to 4k; light and dark are the reader's."""
    sign_in(browser, admin, f"?lang={language}&service={SERVICE}")
    shown(browser, "#models", "PSI")
    look_like(browser, width, 2160 if width == 3840 else 900, scheme)

    wide, colours = browser.execute_script(
        "const style = getComputedStyle(document.body);"
        "const page = document.documentElement;"
        "return [page.scrollWidth - page.clientWidth,"
        " [style.color, getComputedStyle(document.documentElement).colorScheme,"
        "  getComputedStyle(document.querySelector('.quiet')).color]]"
    )
    assert wide <= 0
    assert colours[1] == "light dark"
    is_dark = scheme == "dark"
    assert ("255, 255, 255" in colours[0]) is is_dark
    if width == 360 and (scheme, language) in {("light", "en"), ("dark", "zh")}:
        picture(browser, f"console-{width}-{scheme}-{language}")
