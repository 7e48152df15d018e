"""What figures prove of a canary and of a shadow."""

import random

import pytest
from gateway.console.verdict import (
    CanaryVerdict,
    Experience,
    ShadowVerdict,
    judge_canary,
    judge_shadow,
)
from hypothesis import given, strategies as st

REST = Experience(3, 9_000, 9, 0.010)


@pytest.mark.parametrize(
    ("canary", "verdict"),
    [
        (Experience(0, 0, 0, None), CanaryVerdict.ABSENT),
        (Experience(1, 5, 5, 0.010), CanaryVerdict.TOO_FEW),
        (Experience(1, 900, 100, 0.010), CanaryVerdict.WORSE),
        (Experience(1, 1000, 0, 0.030), CanaryVerdict.SLOWER),
        (Experience(1, 999, 1, 0.012), CanaryVerdict.ALIKE),
    ],
)
def test_a_canary_is_judged(canary, verdict):
    """Each verdict has figures that call for it."""
    assert judge_canary(canary, REST) is verdict


def test_a_canary_that_mends_a_bad_version_is_better():
    """The others fail one call in ten, the canary none."""
    assert (
        judge_canary(Experience(1, 1000, 0, 0.01), Experience(3, 9000, 1000, 0.01))
        is CanaryVerdict.BETTER
    )


def test_chance_is_seldom_taken_for_a_difference():
    """Of 2,000 canaries that are as good as the others, some 2 are called otherwise."""
    draw = random.Random(7)  # noqa: S311 - a seeded simulation

    def experience(attempts: int) -> Experience:
        failed = sum(draw.random() < 0.02 for _ in range(attempts))
        return Experience(1, attempts - failed, failed, 0.010)

    wrong = sum(
        judge_canary(experience(200), experience(400)) is not CanaryVerdict.ALIKE
        for _ in range(2000)
    )
    assert wrong < 30


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_shadow_is_alike_only_if_nearly_all_copies_agree(agreed, differed, failed):
    """No verdict says more than the figures, whatever they are."""
    verdict = judge_shadow(agreed, differed, failed)

    if verdict is ShadowVerdict.ALIKE:
        assert differed <= (agreed + differed) / 1000
    if verdict in {ShadowVerdict.ALIKE, ShadowVerdict.DIFFERS}:
        assert agreed + differed >= 20
    if verdict is ShadowVerdict.FAILS:
        assert failed > agreed + differed
