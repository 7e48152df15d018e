"""What must hold at the gateway before the stack is said to be up."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import httpx

from stack.plan import HOST, Part, Plan


def steps(
    http: httpx.Client, plan: Plan, admin_token: str | None
) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield names and conditions: the gateway has every instance, and answers for each service.

    Args:
        http: asks.
        plan: what runs where.
        admin_token: of the gateway's admin port, None where it asks for none.
    """
    headers = {"authorization": f"Bearer {admin_token}"} if admin_token else {}
    for path, body in plan.calls:
        yield f"the gateway answers {path}", partial(_answers, http, plan.gateway, path, body)
    for service, count in Counter(part.service for part in plan.models).items():
        url = f"http://{HOST}:{plan.gateway.admin_port}/api/services/{service}"
        name = f"the gateway has {count} instances of {service}"
        yield name, partial(_has, http, url, headers, count)


def _answers(http: httpx.Client, gateway: Part, path: str, body: str) -> bool:
    try:
        return http.post(
            f"http://{HOST}:{gateway.port}{path}",
            content=body,
            headers={"content-type": "application/json"},
        ).is_success
    except httpx.HTTPError:
        return False


def _has(http: httpx.Client, url: str, headers: dict[str, str], count: int) -> bool:
    try:
        answer = http.get(url, headers=headers)
    except httpx.HTTPError:
        return False
    views = answer.json()["workers"] if answer.is_success else []
    return bool(views) and all(view and len(view["instances"]) == count for view in views)
