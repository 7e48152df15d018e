"""The environment of a test run, as far as the tests ask."""

import os

OURS = ("NACOS_", "SERVICE_", "ADVERTISE_", "DRAIN_", "LOG_", "REQUEST_")
"""Beginnings of the variables that configure a service."""


def inherited() -> dict[str, str]:
    """Return the environment that a service under test gets, without what configures a service."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OURS)}


def is_ci() -> bool:
    """Return whether a test that cannot run must fail, for a skipped test is a hole nobody sees."""
    return os.environ.get("CI") == "true"
