"""The rules of every test run: how it is divided, how it ends, which programs it needs."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, settings
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait
from stack.reaper import reaped_session
from xdist.scheduler import LoadScopeScheduling

MISSING = "MISSING PROGRAM"
PATIENCE_SECONDS = 60
STACK_TESTS = (
    "tests/chaos/",
    "tests/docs/test_readme.py",
    "tests/integration/test_docs.py",
    "tests/integration/test_stack.py",
)
"""Tests that share a local stack, and disturb it."""
CONTAINER_TESTS = ("tests/containers/",)

# How long an example takes says how busy the machine is.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


def pytest_configure(config: pytest.Config) -> None:
    """See to it that no process of the run outlives it, even when the run itself is killed.

    The workers of a parallel run are processes of the run, and so is all that they start.
    """
    if not is_worker():
        session = ExitStack()
        session.enter_context(reaped_session())
        config.add_cleanup(session.close)


def is_worker() -> bool:
    """Tell whether this process is one of several that run the tests in parallel."""
    return "PYTEST_XDIST_WORKER" in os.environ


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a parallel run begin with what takes long, or one worker does it alone at the end."""
    if is_worker():
        items.sort(
            key=lambda item: not {"nacos", "timeout"} & {m.name for m in item.iter_markers()}
        )


class OneWorkerForAStack(LoadScopeScheduling):
    """Scheduler that hands out test by test; tests that share a stack go to one worker together."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of the tests that are handed out with this one, or its own."""
        together = (group for group in (STACK_TESTS, CONTAINER_TESTS) if nodeid.startswith(group))
        return str(next(together, nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return what divides the tests of a parallel run among its workers."""
    return OneWorkerForAStack(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once, at the end and in red, what was not tested for want of a program."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", ())}
    for reason in sorted(reasons):
        if MISSING in reason:
            terminalreporter.write_line(reason.removeprefix("Skipped: "), red=True, bold=True)


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """Return the way to look up a program: `program(name, package)` is its path.

    Where it is missing the test is skipped, with a line that says how to install it; with CI=true
    it fails, as there a skipped test is a hole nobody sees.
    """

    def find(name: str, package: str) -> str:
        if path := shutil.which(name):
            return path
        message = f"{MISSING} {name}: its tests did not run; install it: apt-get install {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)

    return find


@pytest.fixture(scope="session")
def browser(
    program: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chrome]:
    """Return one Chromium for all tests; its log and its network events are kept."""
    driver = program("chromedriver", "chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = program("chromium", "chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1000,900"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    browser = Chrome(options, ChromeService(driver))
    yield browser
    browser.quit()


@dataclass(frozen=True)
class Tried:
    """What a person sees who tries an operation out.

    Attributes:
        status: of the answer.
        answer: its JSON.
        requested: every address that the page asked for, its query aside.
        complaints: what the browser wrote into its log.
    """

    status: str
    answer: Any
    requested: list[str]
    complaints: list[str]

    @property
    def hosts(self) -> set[str]:
        """Every host and port that the page spoke to."""
        return {urlsplit(url).netloc for url in self.requested if url.startswith(("http", "ws"))}


@pytest.fixture
def try_out(browser: Chrome) -> Callable[[str, str], Tried]:
    """Return the way to use /docs: open `url`, try the POST of `path` with its own example."""

    def wait(scope: Chrome | WebElement, css: str) -> WebElement:
        waiting = WebDriverWait(browser, PATIENCE_SECONDS)
        return waiting.until(lambda _: scope.find_elements(By.CSS_SELECTOR, css), f"no {css}")[0]

    def use(url: str, path: str) -> Tried:
        browser.get("about:blank")
        browser.get_log("browser")
        browser.get_log("performance")
        browser.get(url)
        block = wait(browser, f'.opblock-post:has([data-path="{path}"])')
        wait(block, ".opblock-summary-control").click()
        wait(block, ".try-out__btn").click()
        wait(block, ".btn.execute").click()
        status = wait(block, ".live-responses-table tbody .response-col_status").text
        shown = wait(block, ".live-responses-table tbody .response-col_description code")
        answer = json.loads(shown.get_attribute("textContent") or "")
        events = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
        requested = [
            event["params"]["request"]["url"].partition("?")[0]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        complaints = [each["message"] for each in browser.get_log("browser")]
        return Tried(status.strip(), answer, requested, complaints)

    return use
