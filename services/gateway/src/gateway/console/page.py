"""The page: a situation as HTML, in parts that are sent anew when they change. Pure.

Every part is an element with an id. The services' rows are parts of their own, so that one busy
service does not send the others along.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from gateway.console.answer import answer_of
from gateway.console.drawing import course_chart
from gateway.console.markup import Markup, element, joined
from gateway.console.model_metrics import (
    MUCH,
    POINTS,
    DriftDegree,
    Line,
    ModelSituation,
    drift_of,
)
from gateway.console.situation import (
    CanarySituation,
    InstanceSituation,
    ServiceSituation,
    ShadowSituation,
    Situation,
)
from gateway.console.timeline import Event, EventKind
from gateway.console.words import Words
from gateway.control.order_desk import Instruction

MAX_ROWS = 300
"""Services of the table; further ones are found by their name."""
MAX_INSTANCES = 500
"""Instances of one service that are shown."""
SHOWN_EVENTS = 60
LEAST_SHARE = 0.2
"""The share that fills a chart at least."""
STYLE = "console/console.css"
SCRIPT = "console/console.js"
NO_FIGURE = "-"
UNDONE_BY = {EventKind.DRAINED: "undrain", EventKind.UNDRAINED: "drain"}
"""The order that takes an order back; the end of an ejection cannot be taken back."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is asked about, as it stands in the form, and the answer."""

    method: str = "GET"
    target: str = "/"
    fields: str = ""
    answer: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class View:
    """How one reader looks at the gateway.

    Attributes:
        words: of the reader's language.
        build: version and form of the gateway.
        root: the way from the page's address to the console's root, "" or "../".
        service: the service whose instances are shown, "" for none.
        find: only services whose name has this are listed.
        may_act: the reader has shown the token.
        has_token: the gateway has a token, so that somebody may act.
        order: what to ask the reader about before it is done.
        notice: what to tell the reader.
        asked: the form of "Where would this request go?".
    """

    words: Words
    build: str = ""
    root: str = ""
    service: str = ""
    find: str = ""
    may_act: bool = False
    has_token: bool = False
    order: Instruction | None = None
    notice: str = ""
    asked: Asked = field(default_factory=Asked)

    def link(self, **query: str) -> str:
        """Return the address of the page with this query, which keeps what the reader looks at."""
        kept = {"service": self.service, "find": self.find, **query}
        told = urlencode({name: value for name, value in kept.items() if value})
        return f"{self.root or './'}{'?' + told if told else ''}"


def whole(situation: Situation, view: View) -> str:
    """Return the page."""
    words = view.words
    query = {"lang": words.language, "service": view.service, "find": view.find}
    if view.root:  # the links of the stream are relative too, and start where the page's do
        query["up"] = "1"
    events = f"{view.root}console/events?{urlencode(query)}"
    main = element(
        "main",
        _confirmation(situation, view),
        None if view.has_token else element("p", words.read_only, class_="quiet"),
        parts(situation, view, rows(situation, view)).values(),
        _where(view),
        id="console",
        data_events=events,
        data_live=words.live,
        data_still=words.still,
    )
    return document(view, _head(situation, view), main)


def sign_in(view: View) -> str:
    """Return the page of a reader who has not shown the token."""
    words = view.words
    # The name is for programs that keep passwords: they want one beside each.
    form = element(
        "form",
        element("input", name="user", value="admin", autocomplete="username", hidden=True),
        element("label", words.token, element("input", name="token", type="password",
                autocomplete="current-password", required=True, autofocus=True)),
        element("button", words.sign_in),
        method="post", action=f"{view.root}console/sign-in", class_="sign-in",
    )  # fmt: skip
    notice = element("p", view.notice, role="alert", class_="bad") if view.notice else None
    main = element("main", element("p", words.needs_token), notice, form, id="console")
    return document(view, element("header", element("h1", words.title), _languages(view)), main)


def parts(situation: Situation, view: View, listed: Mapping[str, Markup]) -> dict[str, Markup]:
    """Return the parts of the page that change, by their ids, in their order.

    Args:
        situation: what the page shows.
        view: how its reader looks at it.
        listed: the rows of the services.
    """
    return {
        "alerts": _alerts(situation, view),
        "services": _services(listed, situation, view),
        "service": _service_part(situation, view),
        "models": _models(situation.models.get(view.service), view.words),
        "trouble": _trouble(situation, view),
        "releases": _releases(situation, view),
        "timeline": _timeline(situation, view),
        "routes": _routes(situation, view),
    }


def rows(situation: Situation, view: View) -> dict[str, Markup]:
    """Return the rows of the services, by their ids."""
    wanted = [one for one in situation.services if view.find.lower() in one.name.lower()]
    return {f"service-{one.name}": _row(one, view) for one in wanted[:MAX_ROWS]}


def document(
    view: View,
    head: Markup,
    main: Markup,
    *,
    skip_to: str = "#services",
    styles: Iterable[str] = (STYLE,),
    scripts: Iterable[str] = (SCRIPT,),
) -> str:
    """Return a whole HTML document of the console.

    Args:
        view: how its reader looks at the gateway.
        head: the header of the page.
        main: all else.
        skip_to: where a link leads by which the header is skipped.
        styles: paths of its style sheets.
        scripts: paths of its scripts.
    """
    words, root = view.words, view.root
    return "<!doctype html>\n" + element(
        "html",
        element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("link", rel="icon", href="data:,"),
            [element("link", rel="stylesheet", href=root + one) for one in styles],
            element("title", words.title),
            [element("script", src=root + one, defer=True) for one in scripts],
        ),
        element("body", element("a", words.skip, href=skip_to, class_="skip"), head, main),
        lang=words.language,
    )


def _head(situation: Situation, view: View) -> Markup:
    words = view.words
    leave = None
    if view.has_token:
        leave = element("form", element("button", words.sign_out, class_="quiet"),
                        method="post", action=f"{view.root}console/sign-out")  # fmt: skip
    return element(
        "header",
        element("h1", words.title),
        element("span", view.build, class_="quiet"),
        element("span", words.workers.format(running=situation.running), class_="quiet"),
        element("span", id="live", role="status", class_="quiet"),
        element(
            "nav",
            element("a", words.readiness, href=f"{view.root}readyz"),
            element("a", words.metrics, href=f"{view.root}metrics"),
            element("a", words.api, href=f"{view.root}docs"),
            _languages(view),
            leave,
        ),
    )


def _languages(view: View) -> Markup:
    other = "en" if view.words.language == "zh" else "zh"
    return element("a", view.words.other_language, href=view.link(lang=other), hreflang=other,
                   lang=other)  # fmt: skip


def _alerts(situation: Situation, view: View) -> Markup:
    words = view.words
    told: list[str] = [
        words.alert_check.format(name=name, reason=_reason(state))
        for name, state in situation.checks.items()
        if not state["ok"] and name != "workers"
    ]
    if not situation.checks.get("workers", {"ok": True})["ok"]:
        told.append(words.alert_worker)
    if situation.routes.get("rejected"):
        told.append(words.alert_refused)
    for one in situation.services:
        if one.known and not one.serving:
            told.append(words.alert_no_instance.format(service=one.name))
        elif one.ejected:
            told.append(
                words.alert_ejected.format(service=one.name, count=one.ejected, all=one.instances)
            )
    listed = [element("li", text) for text in told[:20]]
    if not listed:
        return element("section", element("p", words.all_well, class_="good"), id="alerts")
    return element("section", element("ul", listed), id="alerts", class_="bad", role="alert")


def _reason(state: Mapping[str, Any]) -> str:
    named = (state.get(key) for key in ("reason", "trouble", "rejected", "warning"))
    facts = (f"{key}: {value}" for key, value in state.items() if key != "ok" and value)
    return next((str(one) for one in named if one), ", ".join(facts))


def _services(listed: Mapping[str, Markup], situation: Situation, view: View) -> Markup:
    """Return the table of the services from its rows."""
    words = view.words
    more = len(situation.services) - len(listed)
    table = element(
        "table",
        element("thead", element("tr", columns(
            words.service, words.instances, words.rate, words.errors, words.p50, words.p99,
            words.last_quarter, words.in_flight, words.budget,
        ))),
        element("tbody", listed.values()),
    )  # fmt: skip
    find = element(
        "form",
        element("label", words.find, " ", element(
            "input", name="find", type="search", value=view.find, maxlength=100)),
        element("input", type="hidden", name="service", value=view.service)
        if view.service else None,
        method="get", action=view.root or "./", class_="find",
    )  # fmt: skip
    return element(
        "section",
        element("h2", words.services, id="services-title"),
        find,
        table if listed else element("p", words.no_services),
        element("p", words.more_services.format(count=more)) if more > 0 and listed else None,
        id="services",
        tabindex="-1",
        aria_labelledby="services-title",
    )


def columns(*names: str) -> list[Markup]:
    """Return the heads of a table's columns."""
    return [element("th", name, scope="col") for name in names]


def _row(one: ServiceSituation, view: View) -> Markup:
    words = view.words
    count = words.in_traffic.format(serving=one.serving, all=one.instances)
    if one.canaries:
        many = words.canaries.format(count=one.canaries)
        count = f"{count}, {words.one_canary if one.canaries == 1 else many}"
    queued = words.queued.format(count=one.queued) if one.queued else None
    return element(
        "tr",
        element("th", element("a", one.name, href=view.link(service=one.name) + "#service"),
                scope="row"),
        element("td", count, class_="bad" if one.troubled else None,
                data_label=words.instances),
        element("td", f"{one.rate:.1f}", data_label=words.rate),
        element("td", _percent(one.error_share), data_label=words.errors,
                class_="bad" if one.whole.errors else None),
        element("td", _millis(one.seconds(0.5)), data_label=words.p50),
        element("td", _millis(one.seconds(0.99)), data_label=words.p99),
        element("td", one.rates, one.latencies, class_="charts", data_label=words.last_quarter),
        element("td", one.in_flight, " " if queued else None, queued, data_label=words.in_flight),
        element("td", f"{one.budget:.0f}", data_label=words.budget),
        id=f"service-{one.name}",
        aria_current="true" if one.name == view.service else None,
    )  # fmt: skip


def _service_part(situation: Situation, view: View) -> Markup:
    """Return the instances of the service that the reader looks at."""
    words, one = view.words, situation.service(view.service)
    if one is None:
        return element("section", id="service", hidden=True)
    listed = situation.instances.get(one.name, ())[:MAX_INSTANCES]
    asked = words.asked_from_disk
    if one.age is not None:
        asked = words.asked_nacos.format(age=f"{one.age:.0f}")
    return element(
        "section",
        element("h2", one.name, " ", element(
            "a", words.close, href=view.link(service=""), class_="quiet")),
        element("p", asked, " ", words.budget, f": {one.budget:.0f} (", words.budget_why, ")"),
        element("figure", one.rates, element("figcaption",
                f"{words.rate}: {one.rate:.1f} · {words.errors}: {_percent(one.error_share)}")),
        element("figure", one.latencies, element("figcaption",
                f"{words.p50}: {_millis(one.seconds(0.5))} · "
                f"{words.p99}: {_millis(one.seconds(0.99))}")),
        _instances(listed, situation, view),
        id="service",
    )  # fmt: skip


def _models(one: ModelSituation | None, words: Words) -> Markup:
    """Return what the instances of the service that the reader looks at tell of their model."""
    if one is None:
        return element("section", id="models", hidden=True)
    if not one.told:
        return element("section", element("p", words.models_unread, class_="quiet"), id="models")
    at = datetime.fromtimestamp(one.at, UTC)
    told = words.models_told.format(
        told=one.told, asked=one.asked, at=f"{at:%H:%M:%S}Z", count=POINTS
    )
    more = words.and_more.format(count=one.unshown) if one.unshown else None
    return element(
        "section",
        element("h2", words.models),
        element("p", told, class_="quiet"),
        element(
            "div",
            _drift(one.drift, words),
            _shares(words.classes, words.class_of, one.classes, words) if one.classes else None,
            _shares(words.refused_inputs, words.refused_reason, one.refused, words)
            if one.refused else element("p", words.refused_none),
            class_="models",
        ),
        element("p", more) if more else None,
        id="models",
    )  # fmt: skip


def _drift(lines: Sequence[Line], words: Words) -> Markup:
    if not lines:
        return element("p", words.drift_none)
    body = [
        element(
            "tr",
            element("th", one.name, scope="row"),
            element("td", f"{one.whole:.2f}", data_label=words.drift_index),
            element("td", getattr(words, f"drift_{drift_of(one.whole).value}"),
                    data_label=words.drift_word,
                    class_="bad" if drift_of(one.whole) is DriftDegree.MUCH else None),
            element("td", course_chart(one.course, 2 * MUCH, POINTS), class_="charts",
                    data_label=words.course),
        )
        for one in lines
    ]  # fmt: skip
    head = columns(words.drift_of, words.drift_index, words.drift_word, words.course)
    return _captioned(words.drift, head, body)


def _shares(caption: str, kind: str, lines: Sequence[Line], words: Words) -> Markup:
    body = [
        element(
            "tr",
            element("th", one.name, scope="row"),
            element("td", _percent(one.whole), data_label=words.share_whole),
            element("td", NO_FIGURE if one.last is None else _percent(one.last),
                    data_label=words.share_last),
            element("td", course_chart(one.course, LEAST_SHARE, POINTS), class_="charts",
                    data_label=words.course),
        )
        for one in lines
    ]  # fmt: skip
    head = columns(kind, words.share_whole, words.share_last, words.course)
    return _captioned(caption, head, body)


def _captioned(caption: str, head: list[Markup], body: list[Markup]) -> Markup:
    return element("table", element("caption", caption),
                   element("thead", element("tr", head)), element("tbody", body))  # fmt: skip


def _trouble(situation: Situation, view: View) -> Markup:
    if not situation.troubled:
        return element("section", id="trouble", hidden=True)
    table = _instances(situation.troubled, situation, view, with_service=True)
    return element("section", element("h2", view.words.trouble), table, id="trouble")


def _instances(
    listed: Iterable[InstanceSituation],
    situation: Situation,
    view: View,
    *,
    with_service: bool = False,
) -> Markup:
    words = view.words
    head = columns(
        words.instance, words.state, words.load, words.latency, words.weight,
        words.model_version, words.zone, words.action,
    )  # fmt: skip
    body = [
        element(
            "tr",
            element("th", f"{one.service} " if with_service else None, one.address, scope="row"),
            element("td", _states(one, situation, words), data_label=words.state,
                    class_="bad" if _is_out(one) else None),
            element("td", f"{one.in_flight} / {one.limit}", data_label=words.load),
            element("td", f"{one.ewma_ms:.1f} ms", data_label=words.latency),
            element("td", f"{one.weight:g}", data_label=words.weight),
            element("td", one.version, data_label=words.model_version),
            element("td", one.zone, data_label=words.zone),
            element("td", _orders(one, view), data_label=words.action),
        )
        for one in listed
    ]  # fmt: skip
    return element("table", element("thead", element("tr", head)), element("tbody", body))


def _is_out(one: InstanceSituation) -> bool:
    return one.drained or not one.usable or not one.healthy or one.ejection is not None


def _states(one: InstanceSituation, situation: Situation, words: Words) -> Markup:
    told: list[str] = []
    if one.drained:
        told.append(words.state_drained)
    if not one.usable:
        told.append(words.state_disabled)
    if not one.healthy:
        told.append(words.state_unhealthy)
    if one.ejection is not None:
        told.append(words.state_ejected.format(cause=words.cause(one.ejection.cause)))
        if one.ejection.workers < situation.running:
            told.append(words.some_workers.format(some=one.ejection.workers, all=situation.running))
        seconds = f"{one.ejection.probe_in:.0f}"
        due = one.ejection.probe_in <= 0
        told.append(words.probe_due if due else words.probe_in.format(seconds=seconds))
    if one.canary:
        told.append(words.state_canary)
    if one.warmth < 1 and not _is_out(one):
        told.append(words.state_warming.format(percent=f"{one.warmth * 100:.0f}"))
    return joined([", ".join(told or [words.state_serving])])


def _orders(one: InstanceSituation, view: View) -> list[Markup]:
    if not view.may_act:
        return []
    words = view.words
    wanted = [("undrain", words.undrain) if one.drained else ("drain", words.drain)]
    if one.ejection is not None:
        wanted.append(("restore", words.restore))
    return [
        _order_link(Instruction(do, one.service, one.address), name, view) for do, name in wanted
    ]


def _order_link(order: Instruction, name: str, view: View) -> Markup:
    address = view.link(do=order.do, of=order.service, instance=order.instance)
    return element("a", name, href=address, class_="button",
                   aria_label=f"{name}: {order.service} {order.instance}")  # fmt: skip


def _confirmation(situation: Situation, view: View) -> Markup | None:
    """Return the question before an order is carried out, or what there is to say after."""
    words, order = view.words, view.order
    if view.notice:
        return element("p", view.notice, role="status", class_="notice")
    if order is None:
        return None
    question = {
        "drain": words.ask_drain,
        "undrain": words.ask_undrain,
        "restore": words.ask_restore,
    }[order.do].format(service=order.service, instance=order.instance)
    consequence = None
    one = situation.service(order.service)
    if order.do == "drain" and one is not None:
        out = {(each.service, each.address) for each in situation.troubled}
        left = one.serving - ((order.service, order.instance) not in out)
        consequence = words.ask_left.format(left=left, all=one.instances)
        if left <= 0:
            consequence = words.ask_last
    name = {"drain": words.drain, "undrain": words.undrain, "restore": words.restore}[order.do]
    hidden = [
        element("input", type="hidden", name=key, value=value)
        for key, value in (
            ("do", order.do), ("of", order.service), ("instance", order.instance),
            ("service", view.service), ("find", view.find),
        )
    ]  # fmt: skip
    return element(
        "form",
        element("p", element("strong", question)),
        element("p", consequence) if consequence else None,
        hidden,
        element("button", name, autofocus=True),
        element("a", words.cancel, href=view.link(), class_="button quiet"),
        method="post",
        action=f"{view.root}console/order",
        class_="notice",
        role="alertdialog",
        aria_label=question,
    )


def _releases(situation: Situation, view: View) -> Markup:
    words = view.words
    told = [
        *(_canary(one, words) for one in situation.canaries),
        *(_shadow(one, words) for one in situation.shadows),
    ]
    none = element("p", words.no_releases, class_="quiet")
    return element("section", element("h2", words.releases), told or none, id="releases")


def _canary(one: CanarySituation, words: Words) -> Markup:
    verdict = getattr(words, f"canary_{one.verdict.name.lower()}")
    facts = words.canary_facts.format(
        failed=one.canary.failed, attempts=one.canary.attempts,
        share=f"{one.canary.failed_share * 100:.1f}", rest=f"{one.rest.failed_share * 100:.1f}",
        ms=_bare_millis(one.canary.seconds), rest_ms=_bare_millis(one.rest.seconds),
    )  # fmt: skip
    title = words.canary_of.format(
        service=one.service, labels=one.labels, percent=f"{one.percent:g}", route=one.route
    )
    bad = one.verdict.name in {"WORSE", "SLOWER"}
    return element(
        "article", element("h3", title),
        element("p", element("strong", verdict, class_="bad" if bad else None), " ", facts),
    )  # fmt: skip


def _shadow(one: ShadowSituation, words: Words) -> Markup:
    compared = one.agreed + one.differed
    percent = f"{100 * one.differed / compared:.1f}" if compared else "0"
    verdict = getattr(words, f"shadow_{one.verdict.name.lower()}").format(percent=percent)
    facts = words.shadow_facts.format(
        agreed=one.agreed, differed=one.differed, failed=one.failed, dropped=one.dropped
    )
    bad = one.verdict.name in {"DIFFERS", "FAILS"}
    return element(
        "article",
        element("h3", words.shadow_of.format(route=one.route, service=one.service)),
        element("p", element("strong", verdict, class_="bad" if bad else None), " ", facts),
    )


def _timeline(situation: Situation, view: View) -> Markup:
    words = view.words
    listed = [_event(event, view) for event in situation.events[:SHOWN_EVENTS]]
    none = element("p", words.no_events, class_="quiet")
    inner = element("ol", listed) if listed else none
    return element("section", element("h2", words.timeline), inner, id="timeline")


def _event(event: Event, view: View) -> Markup:
    words = view.words
    at = datetime.fromtimestamp(event.at, UTC)
    what = ", ".join(event.subjects)
    if event.count > len(event.subjects):
        what += " " + words.and_more.format(count=event.count - len(event.subjects))
    if event.kind in {EventKind.APPLIED, EventKind.REFUSED}:
        what = what[:8]
    sentence = getattr(words, f"event_{event.kind.value.replace('-', '_')}").format(
        what=what, service=event.service, detail=event.detail, cause=words.cause(event.detail)
    )
    undo = None
    if event.kind in UNDONE_BY and view.may_act and event.count == 1:
        order = Instruction(UNDONE_BY[event.kind], event.service, event.subjects[0])
        undo = _order_link(order, words.undo, view)
    bad = event.kind in {EventKind.EJECTED, EventKind.REFUSED, EventKind.WORKER_LEFT}
    return element(
        "li",
        element("time", f"{at:%Y-%m-%d %H:%M:%S}Z", datetime=at.isoformat(timespec="seconds")),
        " ",
        element("span", sentence, class_="bad" if bad else None),
        " " + words.event_by.format(by=event.by) if event.by else None,
        " " if undo else None,
        undo,
    )


def _routes(situation: Situation, view: View) -> Markup:
    words, told = view.words, situation.routes
    if not told:
        return element("section", element("h2", words.routes), id="routes")
    source = getattr(words, f"document_{told['source']}")
    refused = None
    if told["rejected"]:
        line, text = told["rejected_line"] or (None, "")
        refused = element(
            "div",
            element("p", words.document_refused),
            element("pre", told["rejected"]),
            element("p", words.document_line.format(line=line)) if line else None,
            element("pre", text) if text else None,
            class_="bad",
        )
    by_name = told["by_name"]
    open_ones = words.by_name_all if by_name is True else words.by_name_none
    if isinstance(by_name, list):
        open_ones = words.by_name_some.format(names=", ".join(by_name))
    trouble = told.get("trouble")
    head = columns(words.route, words.path, words.goes_to, words.methods, words.terms)
    body = [_route(one, words) for one in told["routes"]]
    table = element("table", element("thead", element("tr", head)), element("tbody", body))
    return element(
        "section",
        element("h2", words.routes),
        element("p", source.format(version=told["version"][:8])),
        element("p", words.document_trouble.format(reason=trouble), class_="bad")
        if trouble else None,
        refused,
        element("p", open_ones),
        table if body else element("p", words.no_routes, class_="quiet"),
        id="routes",
    )  # fmt: skip


def _route(one: Mapping[str, Any], words: Words) -> Markup:
    terms = [
        words.term_timeout.format(seconds=one["timeout"]) if one["timeout"] else "",
        words.term_attempts.format(count=one["attempts"]),
        words.term_conditions.format(count=one["conditions"]) if one["conditions"] else "",
        words.term_keys if one["protected"] else "",
        words.term_split if one["split"] else "",
        words.term_shadow.format(service=one["shadow"]) if one["shadow"] else "",
    ]
    redirect = one["redirect"]
    goes = words.term_redirect.format(to=redirect) if redirect else one["service"]
    return element(
        "tr",
        element("th", one["name"], scope="row"),
        element("td", one["path"], "" if one["exact"] else " …", data_label=words.path),
        element("td", goes, data_label=words.goes_to),
        element("td", ", ".join(one["methods"]) or words.any_method, data_label=words.methods),
        element("td", ", ".join(filter(None, terms)), data_label=words.terms),
    )


def _where(view: View) -> Markup:
    words, asked = view.words, view.asked
    form = element(
        "form",
        element("label", words.method, element("input", name="method", value=asked.method,
                maxlength=20, required=True)),
        element("label", words.target, element("input", name="target", value=asked.target,
                maxlength=8192, required=True)),
        element("label", words.fields, element("textarea", asked.fields, name="fields", rows=3,
                maxlength=16384, spellcheck="false"), class_="wide"),
        element("button", words.ask),
        method="post", action=f"{view.root}console/where#where",
    )  # fmt: skip
    answer = None if asked.answer is None else element(
        "div", answer_of(asked.answer, words), id="answer", role="status", tabindex="-1"
    )  # fmt: skip
    return element("section", element("h2", words.where), element("p", words.where_why), form,
                   answer, id="where")  # fmt: skip


def _percent(share: float) -> str:
    if share >= 0.995:  # noqa: PLR2004 - with two digits it would be 1e+02
        return f"{share * 100:.0f} %"
    return f"{share * 100:.2g} %" if share else "0 %"


def _millis(seconds: float | None) -> str:
    return NO_FIGURE if seconds is None else f"{_bare_millis(seconds)} ms"


def _bare_millis(seconds: float | None) -> str:
    if seconds is None:
        return NO_FIGURE
    millis = seconds * 1000
    return f"{millis:.0f}" if millis >= 100 else f"{millis:.1f}"  # noqa: PLR2004 - three digits
