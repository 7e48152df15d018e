"""The form in which the gateway runs, compiled or interpreted, and how an operator sees it.

Both forms are the same sources. A compiled module has an extension module beside its source, made
by mypyc when the wheel was built, and Python prefers it.
"""

from collections.abc import Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from types import ModuleType

import failover.balancer
from prometheus_client.core import InfoMetricFamily, Metric
from service_kit import MetricFamily

import gateway.proxy.exchange

BUILD = MetricFamily("info", "gateway_build", "The gateway's version and form", ("version", "form"))
DATA_PATH = (failover.balancer, gateway.proxy.exchange)
"""One module of each package that is compiled; the modules of a package are compiled together."""


def form(modules: Iterable[ModuleType] = DATA_PATH) -> str:
    """Return `compiled` if every module is an extension module, else `interpreted`."""
    compiled = all((one.__file__ or "").endswith(tuple(EXTENSION_SUFFIXES)) for one in modules)
    return "compiled" if compiled else "interpreted"


def build_info(version: str) -> Iterator[Metric]:
    """Yield `gateway_build_info`, which is always 1: its labels are the version and the form."""
    labels = {"version": version, "form": form()}
    yield InfoMetricFamily(BUILD.name, BUILD.text, value=labels)
