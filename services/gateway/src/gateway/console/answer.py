"""The answer to "Where would this request go?" in words. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.console.markup import Part, element
from gateway.console.situation import spelled
from gateway.console.words import Words


def answer_of(told: Mapping[str, Any], words: Words) -> Part:
    """Return what a worker told of a request as markup."""
    if "reply" in told:
        if told["unfollowed"]:
            return element("p", words.answer_unfollowed.format(service=told["unfollowed"]))
        reply = told["reply"]
        text = words.answer_reply.format(status=reply["status"], detail=reply["detail"])
        return element("p", element("strong", text))
    limits = [
        f"{told['limits']['per_second']:g}/s" if told["limits"]["per_second"] else "",
        f"{told['limits']['at_once']} ∥" if told["limits"]["at_once"] else "",
    ]
    shares = [
        words.answer_share_of.format(
            percent=f"{percent:g}", labels=spelled(labels) or words.answer_rest
        )
        for labels, percent in told["shares"]
    ]
    lines = [
        element("strong", words.answer_route.format(route=told["route"], path=told["path"])),
        element("strong", words.answer_service.format(
            service=told["service"], target=told["target"])),
        words.answer_times.format(timeout=f"{told['timeout']:g}", per_try=f"{told['per_try']:g}"),
        words.answer_limits.format(limits=", ".join(filter(None, limits))) if any(limits) else "",
        words.answer_shares.format(shares="; ".join(shares)) if shares else "",
        words.answer_labels.format(labels=spelled(told["labels"]) or words.answer_rest)
        if shares else "",
    ]  # fmt: skip
    return [
        *(element("p", line) for line in lines if line),
        _groups(told["groups"], words),
        _repetition(told, words),
    ]


def _groups(groups: Sequence[Mapping[str, Any]], words: Words) -> Part:
    if not groups:
        return element("p", element("strong", words.answer_nobody))
    return [
        [
            element("p", (words.answer_group if not place else words.answer_group_last).format(
                number=place + 1, count=group["count"])),
            element("ul", (
                element("li", element("code", one["address"]), f" {one['cluster']}, "
                        f"{words.weight} {one['weight']:g}, {words.load} {one['in_flight']}, "
                        f"{one['ewma_ms']:.1f} ms",
                        f", {words.cause(one['cause'])}" if one["cause"] else None)
                for one in group["instances"]
            )),
        ]
        for place, group in enumerate(groups)
    ]  # fmt: skip


def _repetition(told: Mapping[str, Any], words: Words) -> Part:
    sentence = words.answer_repeatable if told["repeatable"] else words.answer_not_repeatable
    ground = getattr(words, f"ground_{told['ground']}")
    then = [
        element("tr", element("th", getattr(words, f"outcome_{outcome}"), scope="row"),
                element("td", getattr(words, f"then_{what}")))
        for outcome, what in told["after"].items()
    ]  # fmt: skip
    return [
        element("p", element("strong", sentence.format(ground=ground, attempts=told["attempts"]))),
        element("p", words.answer_hedged) if told["hedged"] else None,
        element("table", element("caption", words.after), element("tbody", then), class_="plain"),
    ]
