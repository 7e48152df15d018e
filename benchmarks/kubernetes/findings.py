"""What a run has found, written after each trial: a run that is cut off has told something."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.failover.trial import Kind
from benchmarks.gateway.peers import GATEWAY
from benchmarks.kubernetes.faults import ALL, Fault
from benchmarks.kubernetes.installation import Installation
from benchmarks.kubernetes.journal import Journal
from benchmarks.kubernetes.notices import Notice
from benchmarks.kubernetes.spring_gateway import REMEDY
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
        remarks: what was otherwise than the page says, a paragraph each.
        alone: faults that were tried after the others, in a run of chosen ones, and its machine.
    """

    about: Mapping[str, str]
    rate: float
    kept: bool
    verdicts: list[Verdict] = field(default_factory=list)
    unfinished: list[Unfinished] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    alone: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def beside(cls, chosen: Sequence[Fault], about: Mapping[str, str]) -> "Findings":
        """Return the findings that are written, without those on the chosen faults."""
        found: dict[str, Any] = json.loads((report.RESULTS / "kubernetes.json").read_text())
        names = {each.name for each in chosen}
        alone = {**found["alone"], **dict.fromkeys(names, about)}
        return cls(
            found["machine"],
            found["rate"],
            kept=True,
            verdicts=[
                verdict_of(one)
                for one in found["trials"]
                if one["fault"] not in names or one["gateway"] == REMEDY  # not tried with these
            ],
            unfinished=[
                Unfinished(**one) for one in found["unfinished"] if one["fault"] not in names
            ],
            notices=[Notice(**one) for one in found["notices"]],
            remarks=found["remarks"],
            alone=alone,
        )

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

    def note(self, *notices: Notice) -> None:
        """Take what is told where something is missing, in place of what was told before."""
        missing = {one.missing for one in notices}
        self.notices = [one for one in self.notices if one.missing not in missing] + [*notices]

    def write(self) -> None:
        """Write the report of all that was found so far."""
        if not self.kept:
            return
        trials = [{**asdict(one), "good": one.good} for one in self.verdicts]
        report.write(
            "kubernetes",
            markdown=self.page(),
            data={
                "machine": self.about,
                "rate": self.rate,
                "remarks": self.remarks,
                "alone": self.alone,
                "notices": [asdict(one) for one in self.notices],
                "unfinished": [asdict(one) for one in self.unfinished],
                "trials": trials,
            },
        )

    def page(self) -> str:
        """Return the report as Markdown."""
        tried = {one.fault for one in self.verdicts} | {one.fault for one in self.unfinished}
        about = {**self.about, "requests a second": f"{self.rate:g}"}
        for fault, machine in self.alone.items():
            about[f"tried alone, {fault}"] = machine["date"]
        return markdown(
            self.verdicts,
            self.unfinished,
            [each.name for each in ALL if each.name not in tried],
            self.notices,
            about,
            remarks=self.remarks,
        )


def verdict_of(written: Mapping[str, Any]) -> Verdict:
    """Return a verdict that was written."""
    given = {name: value for name, value in written.items() if name != "good"}
    kinds = {name: Kind(**given[name]) for name in ("declared", "undeclared")}
    return Verdict(**{**given, **kinds})
