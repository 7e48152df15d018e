"""The libraries that are measured, and the measurements in which each cannot take part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
OURS = "nacos_client"


@dataclass(frozen=True, slots=True)
class Peer:
    """One library.

    Attributes:
        name: distribution name, also that of its requirements and of its program in `subjects`.
        version: that is measured.
        transport: protocol that the library speaks with Nacos.
        python: the Python that the library needs, as uv takes it.
        cannot: measurements in which the library has no way to take part, with the reason.
        notes: the way in which the library was used, where there was a choice.
    """

    name: str
    version: str
    transport: str
    python: str = "3.11"
    cannot: Mapping[str, str] = field(default_factory=dict, hash=False)
    notes: str = ""

    @property
    def program(self) -> Path:
        """Return the script that drives the library."""
        return HERE / "subjects" / f"with_{self.name.replace('-', '_')}.py"

    @property
    def requirements(self) -> Path:
        """Return the file of pinned requirements; our own library has none."""
        return HERE / "requirements" / f"{self.name}.txt"


REGISTERS_ONLY = {
    "config": "reads a document when asked and has no listener",
    "push": "asks the server at each lookup and has no subscription",
    "scale": "has no subscription",
}
PEERS = (
    Peer(
        OURS,
        "this repository",
        "gRPC, on a thread of its own",
        notes="its first call also loads gRPC, which the others load when imported",
    ),
    Peer("nacos-sdk-python", "3.2.0", "gRPC", notes="the bare vendor SDK, all settings default"),
    Peer("nacos-sdk-rust-binding-py", "0.8.0", "gRPC (Rust)"),
    Peer(
        "fastapi-nacos",
        "0.0.7",
        "gRPC (vendor SDK 2.0)",
        python="3.12",
        cannot={"scale": "has no callback; looking at 500 services would be measured with it"},
        notes="no callbacks: its present value was read every 5 ms",
    ),
    Peer("fastapi-nacos-extension", "0.1.1", "HTTP v1 heartbeats", cannot=REGISTERS_ONLY),
    Peer(
        "nacosx",
        "0.1.0",
        "HTTP v1 heartbeats",
        cannot={
            "config": "registers only",
            "push": "registers only",
            "scale": "registers only",
        },
        notes="manual API (its decorator waits 5 s more before it registers); registers in a "
        "cluster called None, where callers that ask for cluster DEFAULT do not find it",
    ),
)
