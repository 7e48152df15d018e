"""The welcome page and /docs as people use them, in a real Chromium."""

import httpx
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

pytestmark = pytest.mark.browser


def test_the_page_opens_and_its_links_lead_somewhere(browser: Chrome, conforming):
    """The page loads without a complaint, and every link of it is answered."""
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(conforming.url)
    links = [link.get_attribute("href") for link in browser.find_elements(By.TAG_NAME, "a")]

    assert len(links) == 5
    for link in links:
        status = browser.execute_async_script(
            "fetch(arguments[0]).then((r) => arguments[1](r.status))", link
        )
        assert status == 200, link
    complaints = [entry["message"] for entry in browser.get_log("browser")]
    assert [each for each in complaints if "favicon" not in each] == []


@pytest.mark.parametrize("page", ["/docs", "/docs/"])
def test_the_docs_try_each_operation(try_out, conforming, page):
    """/docs sends its own examples, and asks no other host for anything."""
    for post in conforming.posts:
        tried = try_out(conforming.url + page, post.template)

        assert tried.status == "200", post.template
        assert conforming.url + post.path in tried.requested
        assert tried.hosts == {conforming.url.removeprefix("http://")}
        assert tried.complaints == []


def test_the_docs_begin_with_the_model(conforming):
    """Whoever opens /docs sees the model's routes first, and those of its operation last."""
    answer = httpx.get(conforming.url + conforming.description_path)
    operations = [
        operation.get("tags") == ["operations"]
        for path in answer.json()["paths"].values()
        for operation in path.values()
    ]

    assert not operations[0]
    assert operations[-1]
    assert operations == sorted(operations)
