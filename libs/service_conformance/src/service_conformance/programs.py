"""Chromium, and other programs that a test may find or not."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from service_conformance.surroundings import is_ci

MISSING = "MISSING PROGRAM"
PATIENCE_SECONDS = 60


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
        if is_ci():
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
