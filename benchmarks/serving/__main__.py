"""Compares model services. `make bench-serving` prepares the peers, then runs this."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from car_evaluation_model import Model, encode, load
from car_evaluation_model.config.core import PACKAGE, read_config

from benchmarks.measure import chart, report
from benchmarks.measure.nacos import own_or_given
from benchmarks.measure.process import end_in_order_on_sigterm
from benchmarks.serving import bodies, clusterer, peers
from benchmarks.serving.goals import MANY
from benchmarks.serving.profile import where_time_goes
from benchmarks.serving.study import LOAD_CORE, medians, study
from benchmarks.serving.tensors import tensors
from benchmarks.serving.text import Results, markdown

SERVER_CORE = 0
SHORT = (peers.FLOOR, peers.TABLE, peers.ESTIMATOR, peers.LITSERVE_BATCHED)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=4, help="length of one cell")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, nargs="+", default=bodies.ROWS)
    parser.add_argument("--only", default="", help="services, separated by ';'; default all")
    parser.add_argument("--short", action="store_true", help="few services, nothing kept")
    return parser.parse_args()


def fit_model(work: Path) -> Path:
    """Fit the pipeline that every peer loads, by our recipe, in the peers' own scikit-learn."""
    config = read_config()
    release = config.releases["1.0.0"]
    recipe = {
        **release.model_dump(),
        "features": [field.model_dump() for field in config.features],
        "classes": config.classes,
    }
    (work / "recipe.json").write_text(json.dumps(recipe))
    python = peers.LOCAL / "fastapi" / "bin" / "python"
    argv = [python, peers.CODE / "fit.py", PACKAGE / release.data, work / "recipe.json"]
    subprocess.run([*argv, work / "model.joblib"], check=True)
    return work / "model.joblib"


def request(model: Model, work: Path, form: bodies.Form, count: int) -> tuple[Path, list[int]]:
    """Write a body of `count` rows; return its file and the class numbers that it must get."""
    rows = bodies.rows(model, count)
    codes, _ = encode(rows, model.features)
    return bodies.write(work, form, rows), model.look_up(codes).classes.tolist()


def image_mb() -> float | None:
    """Return the size of the classifier's image in MB, if a Docker engine has one."""
    if not shutil.which("docker"):
        return None
    argv = ("docker", "image", "ls", "--format", "{{.Repository}} {{.ID}}")
    images = subprocess.run(argv, check=False, capture_output=True, text=True).stdout.splitlines()
    for name, _, identity in (line.partition(" ") for line in images):
        if name.rpartition("/")[2] in {"modelserve-classifier", "classifier"}:
            inspect = ("docker", "image", "inspect", "--format", "{{.Size}}", identity)
            done = subprocess.run(inspect, check=True, capture_output=True, text=True)
            return int(done.stdout) / 1e6
    return None


def run_all(options: argparse.Namespace, names: Sequence[str], work: Path) -> Results:
    """Start and measure all services."""
    about, versions = report.machine(), peers.versions()
    os.sched_setaffinity(0, {LOAD_CORE})
    model = load("1.0.0")
    cells, lives, profile = [], [], ""
    with own_or_given(work / "nacos", "bench-serving") as nacos:
        site = peers.Site(work, nacos, fit_model(work), SERVER_CORE)
        chosen = [peer for peer in peers.PEERS if peer.name in names]
        for number in range(options.rounds):
            for peer in chosen:
                print(f"round {number + 1}: {peer.name}", flush=True)
                files = {count: request(model, work, peer.form, count) for count in options.rows}
                life, found = study(peer, site, files, options.seconds)
                lives.append(life)
                cells += found
        turns = options.rounds if options.short else max(options.rounds, clusterer.TURNS)
        fits = list(clusterer.fits(site, turns))
        beside = list(tensors(site, model, turns))
        if peers.TABLE in names and not options.short:
            profile = where_time_goes(site, *request(model, work, bodies.records, 1))
    return Results(about, versions, cells, lives, fits, beside, image_mb(), profile)


def main() -> int:
    """Write the report of a whole run, or print that of a part; return 1 if a goal was missed."""
    options = arguments()
    everybody = tuple(peer.name for peer in peers.PEERS)
    names = SHORT if options.short else everybody
    if options.only:
        names = tuple(options.only.split(";"))
        if unknown := set(names) - set(everybody):
            raise SystemExit(f"no such service: {', '.join(unknown)} (there are {everybody})")
    end_in_order_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        results = run_all(options, names, Path(folder))
    text = markdown(results)
    if options.short or options.only:
        print(text)
        return 0
    found = [cell for cell in medians(results.cells) if (cell.rows, cell.clients) == (1, MANY)]
    bars = sorted(((cell.peer, cell.cpu_us) for cell in found), key=lambda bar: bar[1])
    title = f"CPU per request, 1 row, {MANY} clients"
    svg = chart.bars(title, "microseconds", bars, ours="ours", logarithmic=True)
    report.write("serving", markdown=text, data=results.as_json(), charts={"serving": svg})
    return 0 if all(goal.met for goal in results.goals) else 1


if __name__ == "__main__":
    sys.exit(main())
