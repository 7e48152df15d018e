"""An operator's changes, at a server that refuses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
from stack.access import NacosAccess

from deploy.tests.stand_in import Answering, serving

BUSY = "SQL [INSERT INTO tenant_info]; A lock could not be obtained within the time requested"
"""As Nacos 2.3.2 answered one of 480 changes that came eight at a time."""


@contextmanager
def nacos_that(
    answers: Callable[[int], tuple[int, str]],
) -> Iterator[tuple[NacosAccess, list[str]]]:
    """Serve logins of v3, and as the n-th answer to a change what the function says."""
    changes: list[str] = []

    class Handler(Answering):
        def do_POST(self) -> None:  # noqa: N802 - of http.server
            body = self.form()
            if self.path.endswith("/login"):
                self.say(200, '{"accessToken": "t"}')
            else:
                changes.append(body)
                self.say(*answers(len(changes)))

    with serving(Handler) as address:
        yield NacosAccess(address, "nacos", "secret"), changes


def test_a_change_is_asked_for_again_while_the_database_is_busy() -> None:
    """Nothing was done, for the database rolled back; the same change is what is sent again."""
    with nacos_that(lambda n: (500, BUSY) if n < 3 else (200, "true")) as (access, changes):
        assert access.new_namespace("fresh").namespace == "fresh"

    assert len(changes) == 3
    assert len(set(changes)) == 1


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    """What was asked, the status, and what the server said; it is not asked again."""
    told = r"500 to POST .*/namespace: Namespace creation failed"
    with (
        nacos_that(lambda _: (500, "Namespace creation failed")) as (access, changes),
        pytest.raises(httpx.HTTPStatusError, match=told),
    ):
        access.new_namespace("fresh")

    assert len(changes) == 1


def test_a_database_that_stays_busy_is_told() -> None:
    """Somebody else holds its locks for good: that is an error, not a loop."""
    with (
        nacos_that(lambda _: (500, BUSY)) as (access, changes),
        pytest.raises(httpx.HTTPStatusError, match="A lock could not be obtained"),
    ):
        access.new_namespace("fresh")

    assert 1 < len(changes) < 10
