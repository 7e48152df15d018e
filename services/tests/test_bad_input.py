"""Bad points and rows: a clear 4xx in bounded memory; conformance tries what no model takes."""

import json

import httpx
import pytest
from service_conformance.refusal import assert_refused, full

JSON = {"Content-Type": "application/json"}
SECONDS = 30.0
GROWTH_BYTES = 150 * 2**20
PATHS = {
    "classifier": (
        "/api/v1/predict",
        "/api/v1/explain",
        "/v2/models/car-evaluation/infer",
        "/v2/models/car-evaluation/versions/1.0.0/infer",
    ),
    "kmeans": ("/api/skl-kmeans", "/v2/models/skl-kmeans/infer"),
}
ROUTES = [(package, path) for package, paths in PATHS.items() for path in paths]
TENSOR = {"name": "points", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}


def _v2(**changes: object) -> bytes:
    return json.dumps({"inputs": [TENSOR | changes]}).encode()


BODIES: dict[str, bytes] = {
    "zeros for points": full(b'{"points":[', b"0", b"]}"),
    "lists for points": full(b'{"points":[', b"[]", b"]}"),
    "objects for points": full(b'{"points":[', b"{}", b"]}"),
    "zeros for rows": full(b'{"inputs":[', b"0", b"]}"),
    "objects for rows": full(b'{"inputs":[', b'{"a":1}', b"]}"),
    "lists in a row": full(b'{"inputs":[{"doors":[', b"[]", b"]}]}"),
    "zeros in a row": full(b'{"inputs":[{"doors":[', b"0", b"]}]}"),
    "zeros for a tensor": full(b'{"inputs":[{"name":"points","data":[', b"0", b"]}]}"),
    "lists for a tensor": full(b'{"inputs":[{"name":"points","data":[', b"[0]", b"]}]}"),
    "objects in parameters": full(b'{"inputs":[],"parameters":{"a":[', b"{}", b"]}}"),
    "nothing": b"",
    "blank": b" \n",
    "null": b"null",
    "number": b"17",
    "text": b'"points"',
    "list": b"[]",
    "empty object": b"{}",
    "truncated": b'{"points":[[1,2],[3,4',
    "two documents": b'{"points":[[1,2]]}{"points":[[1,2]]}',
    "trailing comma": b'{"points":[[1,2],]}',
    "single quotes": b"{'points':[[1,2]]}",
    "wrong types": b'{"points":"1,2","inputs":7,"id":[]}',
    "points of text": b'{"points":[["1","2"],["3","4"],["5","6"]]}',
    "points of bools": b'{"points":[[true,false],[false,true],[true,true]]}',
    "points of null": b'{"points":[[null,1],[2,3],[4,5]]}',
    "no rows": b'{"points":[]}',
    "empty rows": b'{"points":[[],[],[]]}',
    "ragged rows": b'{"points":[[1,2],[3],[4,5,6]]}',
    "equal points": b'{"points":[[1,1],[1,1],[1,1],[1,1]]}',
    "huge numbers": b'{"points":[[1e308,1],[-1e308,2],[1e307,3],[0,0]]}',
    "beyond numbers": b'{"points":[[1e400,1],[2,2],[3,3]]}',
    "long integer": b'{"points":[[' + b"9" * 400 + b",1],[2,2],[3,3]]}",
    "longest integer": b'{"points":[[' + b"9" * 10_000 + b",1],[2,2],[3,3]]}",
    "tiny differences": b'{"points":[[1e-300,0],[2e-300,0],[3e-300,0],[4e-300,0]]}',
    "NaN": b'{"points":[[NaN,1],[2,2],[3,3]],"inputs":[NaN]}',
    "Infinity": b'{"points":[[Infinity,1],[-Infinity,2],[3,3]],"inputs":[Infinity]}',
    "deep list": b'{"points":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep object": b'{"inputs":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "deep row": b'{"inputs":[{"buying":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    "duplicate keys": b'{"points":[[1,2]],"points":1,"inputs":[],"inputs":2}',
    "not UTF-8": b'{"points":[["\xff\xfe"]],"inputs":[{"buying":"\xc3\x28"}]}',
    "UTF-16": '{"points":[[1,2]]}'.encode("utf-16"),
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"points":[[1,2],[3,4],[5,6]]}',
    "a byte order mark alone": b"\xef\xbb\xbf",
    "lone surrogate": b'{"inputs":[{"buying":"\\ud800","\\udfff":1}],"points":"\\ud800"}',
    "null byte": b'{"inputs":[{"buying":"\\u0000"}],"points\x00":1}',
    "many rows": b'{"inputs":[' + b"{}," * 300_000 + b"{}]}",
    "many unknown keys": json.dumps({"inputs": [{f"k{i}": i for i in range(100_000)}]}).encode(),
    "many points": b'{"points":[' + b"[1,2]," * 300_000 + b"[1,2]]}",
    "many dimensions": json.dumps({"points": [list(range(5000))] * 3}).encode(),
    "ten megabytes": b'{"points":"' + b"x" * 10_000_000 + b'"}',
    "tensor of wrong shape": _v2(shape=[5, 2]),
    "tensor of vast shape": _v2(shape=[2**31, 2**31]),
    "tensor without columns": _v2(shape=[4, 0], data=[]),
    "tensor of negative shape": _v2(shape=[-1, -1]),
    "tensor of text": _v2(data=["a", "b", "c", "d"]),
    "tensor of lists": _v2(data=[[1, 2], [3]]),
    "tensor of long integers": _v2(data=[10**400, 1, 2, 3]),
    "tensor of wrong type": _v2(datatype="BF16"),
    "tensor of another name": _v2(name="\ud800"),
    "tensor twice": json.dumps({"inputs": [TENSOR, TENSOR]}).encode(),
    "unknown output": json.dumps({"inputs": [TENSOR], "outputs": [{"name": "x"}]}).encode(),
}


@pytest.mark.parametrize(("package", "path"), ROUTES, ids=[path for _, path in ROUTES])
def test_every_bad_body_is_refused(service, package, path):
    """Each kind of bad body gets a 4xx problem document in time, and nothing is logged as a bug.

    The process never holds much more than before, not even while it looks for what is wrong.
    """
    running = service(package)
    running.forget_peak()
    before = running.memory()
    with httpx.Client(base_url=running.url, headers=JSON, timeout=SECONDS) as client:
        for name, body in BODIES.items():
            if (path, name) not in ACCEPTED:
                assert_refused(client.post(path, content=body), name)

    assert running.memory("VmHWM") - before < GROWTH_BYTES
    assert "Traceback" not in running.text
    assert httpx.get(running.url + "/readyz").status_code == 200


ACCEPTED = {
    # Different points, however close: they are clustered.
    ("/api/skl-kmeans", "tiny differences"),
}


CAR = '"buying":"med","maint":"high","doors":"4","persons":"more","lug_boot":"big","safety":"high"'
GOOD = [
    ("classifier", "/api/v1/predict", f'{{"inputs":[{{{CAR}}}]}}'),
    ("classifier", "/api/v1/predict?probabilities=1", f'{{"inputs":[{{{CAR}}}]}}'),
    ("classifier", "/api/v1/explain", f'{{"inputs":[{{{CAR}}}]}}'),
    ("kmeans", "/api/skl-kmeans", '{"points":[[1,2],[3,4],[8,9],[20,30]]}'),
    (
        "kmeans",
        "/v2/models/skl-kmeans/infer",
        json.dumps({"id": "7", "inputs": [TENSOR | {"shape": [4, 1]}]}),
    ),
]


@pytest.mark.parametrize(("package", "path", "body"), GOOD, ids=[path for _, path, _ in GOOD])
def test_a_byte_order_mark_is_no_mistake(service, package, path, body):
    """A good body is as good with the mark that programs on Windows put before it."""
    url = service(package).url + path
    plain, marked = (
        httpx.post(url, content=each, headers=JSON) for each in (body, "\ufeff" + body)
    )

    assert plain.status_code == marked.status_code == 200
    assert marked.json() | {"request_id": ""} == plain.json() | {"request_id": ""}
