"""The example's page and documentation as people use them, in a real Chromium."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = pytest.mark.browser
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def url(program_of_example) -> Iterator[str]:
    """The address of the example's process."""
    with program_of_example.serves() as process:
        yield process.url


def shown(browser, element: str, text: str) -> None:
    """Return when the element's text contains `text`."""
    found = browser.find_element(By.ID, element)
    WebDriverWait(browser, PATIENCE_SECONDS).until(lambda _: text in found.text, f"no {text!r}")


def test_the_form_answers_and_tells_what_is_wrong(browser, url):
    """The form begins with a good row; a changed value is answered, a bad one is told by name."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(url)
    browser.find_element(By.ID, "ask").click()
    shown(browser, "outputs", "setosa")

    for name, value in (("petal_length", "5.2"), ("petal_width", "2.3")):
        field = browser.find_element(By.NAME, name)
        field.clear()
        field.send_keys(value)
    browser.find_element(By.ID, "ask").click()
    shown(browser, "outputs", "virginica")
    assert browser.get_log("browser") == []

    field.clear()
    browser.find_element(By.ID, "ask").click()
    shown(browser, "error", "row 0, petal_width: Input should be a valid number")


def test_links_of_the_page_lead_somewhere(browser, url):
    """Every link of the welcome page is answered."""
    browser.get(url)
    links = [link.get_attribute("href") for link in browser.find_elements(By.TAG_NAME, "a")]

    assert len(links) == 5
    for link in links:
        status = browser.execute_async_script(
            "fetch(arguments[0]).then((r) => arguments[1](r.status))", link
        )
        assert status == 200, link


@pytest.mark.parametrize(
    ("path", "called"),
    [
        ("/api/v1/predict", "/api/v1/predict"),
        ("/v2/models/{model_name}/infer", "/v2/models/iris/infer"),
        (
            "/v2/models/{model_name}/versions/{model_version}/infer",
            "/v2/models/iris/versions/1.0.0/infer",
        ),
    ],
)
def test_try_it_out_works_as_it_stands(try_out, url, path, called):
    """/docs sends its own examples, by JSON and by V2, to the server the page came from: 200."""
    tried = try_out(url + "/docs", path)

    assert tried.status == "200"
    assert url + called in tried.requested
    assert "setosa" in str(tried.answer)
    assert tried.complaints == []
