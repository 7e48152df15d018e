"""The model services that are compared, and their start; their code lies in peers/."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure.nacos import Account
from benchmarks.measure.process import Process
from benchmarks.serving import bodies

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
LOCAL = ROOT / ".local" / "serving"
CODE = HERE / "peers"

FLOOR, TABLE, ESTIMATOR = "floor (constant)", "ours, table", "ours, estimator"
ARTICLE, LEAN = "source article", "FastAPI, numpy"
MLSERVER = "MLServer"
BENTOML, BENTOML_BATCHED = "BentoML", "BentoML, batched"
LITSERVE, LITSERVE_BATCHED = "LitServe", "LitServe, batched"

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Site:
    """The surroundings of a service: a folder, Nacos, the fitted pipeline, a core."""

    work: Path
    nacos: Account
    model: Path
    core: int

    def start(self, name: str, argv: Sequence[str | Path], **environment: str) -> Process:
        """Start a program on the site's core; its output goes to a log."""
        log = self.work / f"{''.join(c if c.isalpha() else '-' for c in name)}.log"
        env = {**ONE_THREAD, "MODEL": str(self.model), **environment}
        return Process(argv, log=log, core=self.core, env=env, cwd=self.work)

    def ours(self, module: str, port: int) -> Process:
        """Start one of our services."""
        return self.start(
            module,
            (sys.executable, "-m", module),
            **self.nacos.environment,
            HOST="127.0.0.1",
            PORT=str(port),
            DRAIN_SECONDS="0",
            LOG_LEVEL="WARNING",
        )


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to serve the model.

    Attributes:
        kind: the peers with which its figures may be compared.
        start: starts the service on a port.
        path: of the request.
        form: format of the rows.
        answer: reads the class numbers of a parsed answer; None if the answer is constant.
        fields: header fields of the request beside its content type.
    """

    name: str
    kind: str
    start: Callable[[Site, int], Process]
    path: str = "/api/v1/predict"
    form: bodies.Form = bodies.records
    answer: Callable[[Any], list[int]] | None = field(
        default=lambda document: document["predictions"]
    )
    fields: Mapping[str, str] = field(default_factory=dict)


def _uvicorn(venv: str, app: str) -> Callable[[Site, int], Process]:
    def start(site: Site, port: int) -> Process:
        argv = (LOCAL / venv / "bin" / "python", "-m", "uvicorn", f"{app}:app", "--port", str(port))
        options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")
        return site.start(app, (*argv, *options, "--log-level", "warning", "--app-dir", CODE))

    return start


def _classifier(engine: str) -> Callable[[Site, int], Process]:
    def start(site: Site, port: int) -> Process:
        site.nacos.publish("car-evaluation", f"engine: {engine}\n")
        return site.ours("classifier", port)

    return start


def _mlserver(site: Site, port: int) -> Process:
    folder = site.work / "mlserver"
    folder.mkdir(exist_ok=True)
    settings = {
        "http_port": port,
        "grpc_port": port + 1,
        "metrics_port": port + 2,
        "host": "127.0.0.1",
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "car",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(site.model)},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    return site.start(MLSERVER, (LOCAL / "mlserver" / "bin" / "mlserver", "start", folder))


def _bentoml(*, batched: bool) -> Callable[[Site, int], Process]:
    def start(site: Site, port: int) -> Process:
        argv = (LOCAL / "bentoml" / "bin" / "bentoml", "serve", "bento:Car")
        return site.start(
            BENTOML,
            (*argv, "--working-dir", CODE, "--host", "127.0.0.1", "--port", str(port)),
            BATCHED=str(int(batched)),
            BENTOML_HOME=str(site.work / "bentoml"),
            BENTOML_DO_NOT_TRACK="True",
        )

    return start


def _litserve(*, batched: bool) -> Callable[[Site, int], Process]:
    def start(site: Site, port: int) -> Process:
        return site.start(
            LITSERVE,
            (LOCAL / "litserve" / "bin" / "python", CODE / "lit.py"),
            BATCHED=str(int(batched)),
            PEER_PORT=str(port),
        )

    return start


def _v2(document: Any) -> list[int]:
    numbers: list[int] = document["outputs"][0]["data"]
    return numbers


FRAME = "DataFrame and Pipeline"
PEERS = (
    Peer(FLOOR, "no model", _uvicorn("fastapi", "floor"), answer=None),
    Peer(TABLE, "precomputed answers", _classifier("table")),
    Peer(ESTIMATOR, "same SVC, numpy", _classifier("estimator")),
    Peer(LEAN, "same SVC, numpy", _uvicorn("fastapi", "lean")),
    Peer(ARTICLE, FRAME, _uvicorn("fastapi", "article")),
    Peer(MLSERVER, FRAME, _mlserver, "/v2/models/car/infer", bodies.columns, _v2),
    Peer(BENTOML, FRAME, _bentoml(batched=False), "/predict", answer=list),
    Peer(BENTOML_BATCHED, FRAME, _bentoml(batched=True), "/predict", answer=list),
    Peer(LITSERVE, FRAME, _litserve(batched=False), "/predict"),
    Peer(LITSERVE_BATCHED, FRAME, _litserve(batched=True), "/predict"),
)
THEIRS = (MLSERVER, BENTOML, BENTOML_BATCHED, LITSERVE, LITSERVE_BATCHED, ARTICLE, LEAN)


def versions() -> dict[str, str]:
    """Return the versions of the distributions of interest in the pinned environments."""
    found = {}
    for file in sorted((HERE / "requirements").glob("*.txt")):
        for line in file.read_text().splitlines():
            name, _, version = line.partition("==")
            if name in {file.stem, "scikit-learn", "pandas", "numpy", "uvicorn", "uvloop"}:
                found[f"{file.stem}: {name}"] = version.split(" ;")[0]
    return found
