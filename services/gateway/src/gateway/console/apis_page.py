"""The page of all APIs: the services with what their documents say, and one of them to try. Pure.

Swagger UI shows one document at a time: 200 at once would be no page that anybody could use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from gateway.console.api_documents import Api, Trouble
from gateway.console.markup import Markup, Part, element
from gateway.console.page import MAX_ROWS, View, columns, document
from gateway.console.words import Words

STYLE = "docs/console.css"
SWAGGER = "docs/swagger-ui"


@dataclass(frozen=True, slots=True)
class ApisView:
    """How one reader looks at the APIs.

    Attributes:
        view: the reader's language, the service whose document is shown, the text that names have.
        is_console: the page is the operator's, and not the data port's.
        own: the document of the admin port itself is shown.
        gateway: where requests that are tried out go, as a browser would: scheme, host and port; ""
            for the page's own.
        through: the path by which they get there from the page's origin; "" for directly.
        may_try: the reader may try something out.
    """

    view: View
    is_console: bool = False
    own: bool = False
    gateway: str = ""
    through: str = ""
    may_try: bool = False

    def link(self, **query: str) -> str:
        """Return the address of the page with this query."""
        kept = {"find": self.view.find, **query}
        told = urlencode({name: value for name, value in kept.items() if value})
        return f"docs{'?' + told if told else ''}"


@dataclass(frozen=True, slots=True)
class Apis:
    """What is known of the services: what each has answered, and its prefixes at the gateway."""

    found: Mapping[str, Api | Trouble] = field(default_factory=dict)
    prefixes: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def listed(names: Sequence[str], find: str) -> list[str]:
    """Return the services of the table: those whose name has the text, up to a bound."""
    return [name for name in sorted(names) if find.lower() in name.lower()][:MAX_ROWS]


def apis_page(apis: Apis, shown: ApisView) -> str:
    """Return the page."""
    view, words = shown.view, shown.view.words
    chosen = shown.own or bool(view.service)
    table = _table(apis, shown)
    main = element(
        "main",
        element("details", element("summary", words.services), table) if chosen else table,
        _chosen(apis, shown) if chosen else None,
        id="apis",
    )
    scripts = (f"{SWAGGER}-bundle.js", "docs/docs.js")
    has_document = shown.own or isinstance(apis.found.get(view.service), Api)
    return document(
        view,
        _head(shown),
        main,
        skip_to="#apis",
        styles=(STYLE, f"{SWAGGER}.css") if has_document else (STYLE,),
        scripts=scripts if has_document else (),
    )


def _head(shown: ApisView) -> Markup:
    view, words = shown.view, shown.view.words
    other = "en" if words.language == "zh" else "zh"
    query = {"own": "1"} if shown.own else {"service": view.service}
    return element(
        "header",
        element("h1", element("a", words.apis, href=shown.link())),
        element("nav",
            element("a", words.title, href="./") if shown.is_console else None,
            element("a", words.other_language, href=shown.link(lang=other, **query),
                    hreflang=other, lang=other)),
    )  # fmt: skip


def _table(apis: Apis, shown: ApisView) -> Markup:
    view, words = shown.view, shown.view.words
    rows = [_row(name, apis, shown) for name in listed(list(apis.found), view.find)]
    more = len(apis.found) - len(rows)
    own = element("tr",
        element("th", element("a", words.title, href=shown.link(own="1")), scope="row"),
        element("td", words.own_api, data_label=words.api),
        element("td", "/api", data_label=words.prefix),
    ) if shown.is_console else None  # fmt: skip
    return element(
        "section",
        element("form", element("label", words.find, " ", element(
            "input", name="find", type="search", value=view.find, maxlength=100)),
            method="get", action="docs", class_="find"),
        element("table",
            element("thead", element("tr", columns(words.service, words.api, words.prefix))),
            element("tbody", own, rows)),
        None if apis.found else element("p", words.no_services),
        element("p", words.more_services.format(count=more)) if more else None,
        id="services",
    )  # fmt: skip


def _row(name: str, apis: Apis, shown: ApisView) -> Markup:
    words, found = shown.view.words, apis.found[name]
    told: Part = _trouble(found, words) if isinstance(found, Trouble) else [
        found.title, " ", found.version, ", ", words.operations.format(count=found.operations)
    ]  # fmt: skip
    is_bad = isinstance(found, Trouble) and found is not Trouble.UNASKED
    return element(
        "tr",
        element("th", element("a", name, href=shown.link(service=name)), scope="row"),
        element("td", told, data_label=words.api, class_="bad" if is_bad else None),
        element("td", _spelled(apis.prefixes.get(name, ()), words), data_label=words.prefix),
        aria_current="true" if name == shown.view.service else None,
    )


def _spelled(prefixes: Sequence[Mapping[str, Any]], words: Words) -> str:
    if not prefixes:
        return words.no_prefix
    return ", ".join(
        words.only_below.format(path=one["below"]) if one["below"] else one["path"] or "/"
        for one in prefixes
    )


def _trouble(trouble: Trouble, words: Words) -> str:
    return str(getattr(words, f"trouble_{trouble}"))


def _chosen(apis: Apis, shown: ApisView) -> Part:
    """Return the document that the reader has chosen, or why there is none."""
    view, words = shown.view, shown.view.words
    found = apis.found.get(view.service)
    if not shown.own and not isinstance(found, Api):
        told = words.trouble_unknown if found is None else _trouble(found, words)
        return element("section", element("h2", view.service), element("p", told, class_="bad"),
                       id="api")  # fmt: skip
    source = (
        "openapi.json" if shown.own else f"docs/openapi.json?{urlencode({'service': view.service})}"
    )
    may_try = shown.may_try and (shown.own or bool(apis.prefixes.get(view.service)))
    return [
        None if shown.may_try else element("p", words.try_wants_token, class_="quiet"),
        element(
            "div",
            id="docs",
            data_document=source,
            data_gateway=None if shown.own else shown.gateway or None,
            data_through=None if shown.own else shown.through or None,
            data_try=may_try,
            data_refused=words.refused_elsewhere,
            data_unread=words.unread,
        ),
    ]
