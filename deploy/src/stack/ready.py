"""The conditions at the gateway that make the stack ready for callers."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import httpx

from stack.plan import HOST, Part, Plan


def conditions(
    http: httpx.Client, plan: Plan, admin_token: str | None, *, shared: bool
) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield pairs of a name and a function that tells whether the condition of that name holds.

    The gateway answers one call of each model, and has found every instance of each service.

    Args:
        http: the client that asks the gateway.
        plan: the parts of the stack and their ports.
        admin_token: of the gateway's admin port; None where that wants none.
        shared: whether Nacos may know instances of other stacks beside ours.
    """
    headers = {"authorization": f"Bearer {admin_token}"} if admin_token else {}
    for path, body in plan.calls:
        yield f"the gateway answers {path}", partial(_answers, http, plan.gateway, path, body)
    for service, count in Counter(part.service for part in plan.models).items():
        url = f"http://{HOST}:{plan.gateway.admin_port}/api/services/{service}"
        name = f"the gateway has {count} instances of {service}"
        yield name, partial(_has_instances, http, url, headers, count, shared=shared)


def _answers(http: httpx.Client, gateway: Part, path: str, body: str) -> bool:
    try:
        return http.post(
            f"http://{HOST}:{gateway.port}{path}",
            content=body,
            headers={"content-type": "application/json"},
        ).is_success
    except httpx.HTTPError:
        return False


def _has_instances(
    http: httpx.Client, url: str, headers: dict[str, str], count: int, *, shared: bool
) -> bool:
    try:
        answer = http.get(url, headers=headers)
    except httpx.HTTPError:
        return False
    views = answer.json()["workers"] if answer.is_success else []
    found = [len(view["instances"]) if view else 0 for view in views]
    return bool(found) and all(each == count or (shared and each > count) for each in found)
