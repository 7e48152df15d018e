"""What a run has found, written after each trial: a run that is cut off has told something."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from benchmarks.gateway.peers import GATEWAY
from benchmarks.kubernetes.faults import ALL, Fault
from benchmarks.kubernetes.installation import Installation
from benchmarks.kubernetes.journal import Journal
from benchmarks.kubernetes.notices import Notice
from benchmarks.kubernetes.text import line, markdown
from benchmarks.kubernetes.trial import Unfinished, Verdict, run
from benchmarks.measure import report


@dataclass
class Findings:
    """The verdicts so far, and what is told where something is missing.

    Attributes:
        about: the machine.
        rate: requests a second of the constant load.
        kept: whether the findings are written to benchmarks/results.
        unfinished: trials that came to no end.
    """

    about: Mapping[str, str]
    rate: float
    kept: bool
    verdicts: list[Verdict] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Return whether our gateway met its goal in every trial."""
        ours = [one for one in self.verdicts if one.gateway == GATEWAY]
        return all(one.good for one in ours) and not self.unfinished

    def attempt(
        self, product: Installation, fault: Fault, journal: Journal, hosts: Mapping[str, str]
    ) -> None:
        """Bring a fault about and add the verdict on each gateway of these at their hosts.

        A fault that comes to no end is told as such.
        """
        try:
            found = run(product, fault, journal, hosts=hosts, rate=self.rate)
        except (AssertionError, RuntimeError, TimeoutError) as error:
            self.unfinished.append(Unfinished(fault.name, str(error)))
            print(f"{fault.name} came to no end: {error}", flush=True)
        else:
            self.verdicts += found
            print("\n".join(map(line, found)), flush=True)
        self.write()

    def write(self) -> None:
        """Write the report of all that was found so far."""
        if not self.kept:
            return
        tried = {one.fault for one in (*self.verdicts, *self.unfinished)}
        untried = [each.name for each in ALL if each.name not in tried]
        about = {**self.about, "requests a second": f"{self.rate:g}"}
        trials = [{**asdict(one), "good": one.good} for one in self.verdicts]
        report.write(
            "kubernetes",
            markdown=markdown(self.verdicts, self.unfinished, untried, self.notices, about),
            data={
                "machine": self.about,
                "rate": self.rate,
                "notices": [asdict(one) for one in self.notices],
                "unfinished": [asdict(one) for one in self.unfinished],
                "trials": trials,
            },
        )
