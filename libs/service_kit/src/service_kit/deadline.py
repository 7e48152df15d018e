"""The time that a request may take: the service's own limit, or less where its caller says so."""

from typing import NamedTuple

from service_kit.problem import Problem

OWN_LIMIT = "the service's REQUEST_TIMEOUT_SECONDS"
CALLER_S_LIMIT = "the request's X-Request-Timeout-Ms"


class Deadline(NamedTuple):
    """The moment after which nobody waits for a request's answer, and the limit that set it.

    It is a tuple because one is made for every request, and a tuple is made soonest.

    Attributes:
        moment: on `time.monotonic`'s clock.
        seconds: the limit, counted from the request's head.
        source: the setting or field that sets the limit.
    """

    moment: float
    seconds: float
    source: str

    def problem(self) -> Problem:
        """Return the 504 of a request that was not answered in time."""
        detail = (
            f"The request was not answered within {self.seconds:g} s, the limit that {self.source}"
            " sets; ask for less at once, or raise the limit."
        )
        return Problem(504, detail, type="deadline", limit_seconds=self.seconds)


FOREVER = Deadline(float("inf"), float("inf"), "no setting")
"""The deadline of work that has none."""
