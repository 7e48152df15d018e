"""Verdicts on a canary and on a shadow: what their figures prove, and no more.

Two shares of failures differ if chance alone would seldom make them differ so much (the test of two
proportions, at one in a thousand: an operator looks often, and each look is a chance to be wrong).
"""

import math
from dataclasses import dataclass
from enum import Enum

LEAST_ATTEMPTS = 50
"""Attempts at a canary below which nothing is said of it."""
LEAST_COPIES = 20
"""Compared copies below which nothing is said of a shadow."""
SURE = 3.29
"""Standard deviations that chance exceeds once in a thousand times, either way."""
SLOWER = 2.0
"""Factor between two answer times from which on a canary is called slower."""
SLOWER_SECONDS = 0.010
"""Seconds between two answer times below which no canary is called slower."""
ALIKE = 0.999
"""Share of copies that agree from which on a shadow is called alike."""


class CanaryVerdict(Enum):
    """What the figures say of a canary."""

    ABSENT = "absent"
    TOO_FEW = "too-few"
    WORSE = "worse"
    SLOWER = "slower"
    BETTER = "better"
    ALIKE = "alike"


class ShadowVerdict(Enum):
    """What the figures say of a shadow."""

    TOO_FEW = "too-few"
    ALIKE = "alike"
    DIFFERS = "differs"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Experience:
    """What became of attempts at some instances.

    Attributes:
        instances: how many there are.
        answered: attempts that were answered well.
        failed: attempts that failed, and answers of 500 or more.
        seconds: the median of their instances' answer times; None without an instance.
    """

    instances: int
    answered: int
    failed: int
    seconds: float | None

    @property
    def attempts(self) -> int:
        """Return how many attempts say something."""
        return self.answered + self.failed

    @property
    def failed_share(self) -> float:
        """Return the share of failures."""
        return self.failed / self.attempts if self.attempts else 0.0


def judge_canary(canary: Experience, rest: Experience) -> CanaryVerdict:
    """Compare a canary with the instances that are none."""
    if not canary.instances:
        return CanaryVerdict.ABSENT
    if canary.attempts < LEAST_ATTEMPTS or rest.attempts < LEAST_ATTEMPTS:
        return CanaryVerdict.TOO_FEW
    far = _deviations(canary, rest)
    if far >= SURE:
        return CanaryVerdict.WORSE
    if _is_slower(canary.seconds, rest.seconds):
        return CanaryVerdict.SLOWER
    return CanaryVerdict.BETTER if far <= -SURE else CanaryVerdict.ALIKE


def judge_shadow(agreed: int, differed: int, failed: int) -> ShadowVerdict:
    """Say whether the answers to copies are those that clients got."""
    compared = agreed + differed
    if failed > compared and failed >= LEAST_COPIES:
        return ShadowVerdict.FAILS
    if compared < LEAST_COPIES:
        return ShadowVerdict.TOO_FEW
    return ShadowVerdict.ALIKE if agreed >= ALIKE * compared else ShadowVerdict.DIFFERS


def _deviations(one: Experience, other: Experience) -> float:
    """Return by how many standard deviations the first has more failures than the second."""
    share = (one.failed + other.failed) / (one.attempts + other.attempts)
    spread = math.sqrt(share * (1 - share) * (1 / one.attempts + 1 / other.attempts))
    return (one.failed_share - other.failed_share) / spread if spread else 0.0


def _is_slower(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return one >= SLOWER * other and one - other >= SLOWER_SECONDS
