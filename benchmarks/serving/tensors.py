"""The classifier's cost of rows as binary tensors, beside the same rows as tensors in JSON."""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import httpx
from car_evaluation_model import Model, encode

from benchmarks.serving import bodies
from benchmarks.serving.goals import Tensors
from benchmarks.serving.peers import PEERS, TABLE, Site
from benchmarks.serving.study import Service, started

CLIENTS = (1, 16)
ROWS = 1000
SECONDS = 1
PATH = "/v2/models/car-evaluation/infer"
HEAD = "Inference-Header-Content-Length"


def tensors(site: Site, model: Model, turns: int) -> Iterator[Tensors]:
    """Offer both bodies in turn; yield the medians for each number of clients."""
    rows = bodies.rows(model, ROWS)
    plain, binary, head = write(site.work, rows)
    table = next(peer for peer in PEERS if peer.name == TABLE)
    found: dict[int, list[tuple[float, float]]] = {}
    first = bodies.write(site.work, bodies.records, rows[:1]).read_bytes()
    codes, _ = encode(rows[:1], model.features)
    with started(table, site, first, model.look_up(codes).classes.tolist()) as service:
        in_json = replace(service, peer=replace(table, path=PATH))
        in_bytes = replace(service, peer=replace(in_json.peer, fields={HEAD: str(head)}))
        check(in_json, plain, in_bytes, binary)
        for _ in range(turns):
            for clients in CLIENTS:
                costs = [
                    _cost(one, file, clients)
                    for one, file in ((in_json, plain), (in_bytes, binary))
                ]
                found.setdefault(clients, []).append((costs[0], costs[1]))
    for clients, pairs in found.items():
        yield Tensors(
            ROWS,
            clients,
            json_us=median(plain for plain, _ in pairs),
            binary_us=median(binary for _, binary in pairs),
            ratio=median(binary / plain for plain, binary in pairs),
        )


def write(folder: Path, rows: Sequence[bodies.Row]) -> tuple[Path, Path, int]:
    """Write the rows in JSON and in bytes; return both files, and the bytes of the document."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    told = [{"name": name, "datatype": "BYTES", "shape": [len(rows)]} for name in columns]
    plain = [one | {"data": columns[one["name"]]} for one in told]  # type: ignore[index] # a name
    parts = {name: b"".join(map(_element, column)) for name, column in columns.items()}
    binary = [
        one | {"parameters": {"binary_data_size": len(part)}}
        for one, part in zip(told, parts.values(), strict=True)
    ]
    asked = {"parameters": {"binary_data_output": True}, "inputs": binary}
    head = json.dumps(asked, separators=(",", ":")).encode()
    files = folder / "tensors.json", folder / "tensors.bin"
    files[0].write_text(json.dumps({"inputs": plain}, separators=(",", ":")))
    files[1].write_bytes(head + b"".join(parts.values()))
    return *files, len(head)


def check(in_json: Service, plain: Path, in_bytes: Service, binary: Path) -> None:
    """Compare both answers.

    Raises:
        ValueError: the class numbers differ.
    """
    url = in_json.url + PATH
    one = httpx.post(url, content=plain.read_bytes(), trust_env=False)
    two = httpx.post(
        url, content=binary.read_bytes(), headers=in_bytes.peer.fields, trust_env=False
    )
    numbers = one.raise_for_status().json()["outputs"][0]["data"]
    head = int(two.raise_for_status().headers[HEAD])
    if struct.unpack_from(f"<{len(numbers)}q", two.content, head) != tuple(numbers):
        raise ValueError("the answers to binary tensors and to JSON tensors differ")


def _cost(service: Service, file: Path, clients: int) -> float:
    cell = service.measure(file, ROWS, clients, SECONDS)
    if cell.errors or cell.refused:
        raise RuntimeError(f"the classifier failed: {cell}")
    return cell.cpu_us


def _element(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<I", len(encoded)) + encoded
