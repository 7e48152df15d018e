"""The welcome pages and /docs as people use them, in a real Chromium."""

import os
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser
PATIENCE_SECONDS = 30
DOCS = {
    "classifier": ("/api/v1/predict", "labels", ["acc"]),
    "kmeans": ("/api/skl-kmeans", "results", [1, 1, 1, 1, 2, 0, 0, 0, 0]),
}
"""Main operation of each service, and what it answers to its own example."""


def wait_for(browser: Chrome, element: str, text: str) -> None:
    """Return when the element's text contains `text`."""
    found = browser.find_element(By.ID, element)
    WebDriverWait(browser, PATIENCE_SECONDS).until(lambda _: text in found.text, f"no {text!r}")


@pytest.fixture(autouse=True)
def _forget(browser: Chrome) -> None:
    """Begin each test with an empty browser log."""
    browser.get("about:blank")
    browser.get_log("browser")


def complaints(browser: Chrome) -> list[str]:
    """What the browser complained of: blocked scripts, styles, failed loads."""
    messages = [entry["message"] for entry in browser.get_log("browser")]
    return [message for message in messages if "favicon" not in message]


def picture(browser: Chrome, name: str) -> None:
    """Keep a screenshot where SCREENSHOTS says, if it says so."""
    if directory := os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(str(Path(directory) / f"{name}.png"))


def test_classifier_shows_the_class_by_name(browser, classifier):
    """The form answers with the class's name, the probabilities, and what would make it better."""
    browser.get(classifier.url)
    browser.find_element(By.ID, "ask").click()
    wait_for(browser, "label", "acceptable")
    wait_for(browser, "advice", "It would be")
    picture(browser, "classifier")

    Select(browser.find_element(By.NAME, "persons")).select_by_value("2")
    browser.find_element(By.ID, "ask").click()
    wait_for(browser, "label", "unacceptable")
    assert "Persons: 2 \u2192" in browser.find_element(By.ID, "advice").text
    assert complaints(browser) == []


def test_clusterer_clusters_clicked_points(browser, kmeans):
    """Clicked points are clustered as soon as there are enough; the example gives its clusters."""
    browser.get(kmeans.url)
    plane = browser.find_element(By.ID, "plane")
    ActionChains(browser).move_to_element_with_offset(plane, -200, -50).click().perform()
    wait_for(browser, "status", "1 different points cannot make 3 clusters")
    for x, y in ((-190, -60), (0, 100), (210, -80)):
        ActionChains(browser).move_to_element_with_offset(plane, x, y).click().perform()
    wait_for(browser, "status", "4 points in 3 clusters")

    browser.find_element(By.ID, "example").click()
    wait_for(browser, "status", "9 points in 3 clusters of 4, 4, 1")
    picture(browser, "kmeans")
    browser.execute_script("points = [[1e12, 0], [1, 0], [2, 0], [30, 0]]; cluster();")
    wait_for(browser, "status", "2 of 3 clusters have points. The squares of distances")
    assert [one for one in complaints(browser) if "422" not in one] == []


@pytest.mark.parametrize("page", ["/docs", "/docs/"])
@pytest.mark.parametrize("package", list(DOCS))
def test_docs_try_the_main_operation(try_out, service, package, page):
    """/docs shows and calls the service with nothing from another host, under a strict policy."""
    running = service(package)
    path, key, expected = DOCS[package]

    tried = try_out(running.url + page, path)

    assert tried.status == "200"
    assert tried.answer[key] == expected
    assert running.url + path in tried.requested
    assert tried.hosts == {running.url.removeprefix("http://")}
    assert tried.complaints == []
