"""Text of others on a page: it is shown, and is never markup."""

from html.parser import HTMLParser

from gateway.console.markup import MAX_TEXT, element, joined, visible
from hypothesis import given, strategies as st


class Read(HTMLParser):
    """The elements, attributes and text that a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data


HOSTILE = st.text(max_size=40) | st.sampled_from(
    ["<script>alert(1)</script>", '" onload="x', "'><img src=x>", "&lt;b&gt;", "a\u202eb", "\0"]
)


@given(HOSTILE, HOSTILE)
def test_text_and_attributes_are_shown_as_they_are(text, value):
    """Whatever the text is, the page has the elements that were written, and the text as text."""
    read = Read(element("td", text, title=value, data_of=text))

    assert read.tags == ["td"]
    assert read.text == visible(text)
    assert read.attributes == [("title", visible(value)), ("data-of", visible(text))]


@given(st.lists(HOSTILE, max_size=5))
def test_markup_is_made_of_markup_alone(texts):
    """Elements inside elements stay elements, and texts beside them are escaped once."""
    read = Read(element("ul", [element("li", text) for text in texts]))

    assert read.tags == ["ul", *("li" for _ in texts)]
    assert read.text == "".join(map(visible, texts))
    assert joined(["<", element("br"), None, 3]) == "&lt;<br>3"


def test_marks_that_nobody_sees_are_spelled():
    """A name with a mark that turns its direction does not look like another name."""
    assert visible("good\u202edab") == "good\\u202edab"
    assert visible("a\x1b[2J") == "a\\u001b[2J"
    assert visible("网关 ü") == "网关 ü"


def test_a_long_text_is_cut():
    """A document's reason of a megabyte does not make a page of a megabyte."""
    assert visible("x" * 1_000_000) == "x" * MAX_TEXT + "…"
