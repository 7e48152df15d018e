"""The definition of a metric: those who count it and those who watch it have it from one place."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class MetricFamily:
    """A metric of `/metrics` as it is defined, without its values.

    Attributes:
        kind: of metric, in the words of Prometheus.
        name: without the endings that the text format adds.
        text: a line for the reader of `/metrics`.
        labels: names of its labels.
    """

    kind: Literal["counter", "gauge", "histogram", "info"]
    name: str
    text: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series, with the endings that the text format adds."""
        match self.kind:
            case "counter":
                return (f"{self.name}_total",)
            case "histogram":
                return (f"{self.name}_bucket", f"{self.name}_sum", f"{self.name}_count")
            case "info":
                return (f"{self.name}_info",)
            case "gauge":
                return (self.name,)
