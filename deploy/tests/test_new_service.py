"""What `make new-service` writes, and what it refuses before anything is written."""

import pickle
import socket
import sys
from pathlib import Path

import pytest
from sklearn.linear_model import LogisticRegression
from stack import STATE
from stack.given_origin import origin_of
from stack.new_service import ServiceError, check_name, choose_ports, create, named, remove
from stack.origins import Origin, UnusableOriginError
from stack.plan import Plan
from stack.ports import free_port
from stack.services import FOLDER, found
from stack.written import files

SCORING = '''
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from pydantic import Field
from typing_extensions import TypedDict

@dataclass
class Answer:
    risk: float
    label: Literal["low", "high"]

class Named(TypedDict):
    pair: list[float]

def score(age: Annotated[int, Field(ge=0, le=130)], area: Literal["n", "s"] = "n") -> Answer:
    """Tell the risk of a loan of $5."""
    return Answer(age / 10, "low")

def product(x: float, y: float) -> float: return x * y
def keyed(parts: list[float], on: bool) -> Named: return {"pair": parts}
def untyped(x): return x
def half(x: float): return x
def anything(x: Any) -> float: return 1.0
def rest(*x: float) -> float: return 1.0
def none() -> float: return 1.0
def taken(x: float) -> "Taken": return {"version": 1.0}
class Taken(TypedDict):
    version: float
value = 7
'''


@pytest.fixture(scope="session")
def module(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    """The name of a module with functions, importable and in no distribution."""
    name = f"scoring_{worker_id}"
    folder = tmp_path_factory.mktemp("functions")
    (folder / f"{name}.py").write_text(SCORING)
    sys.path.append(str(folder))
    return name


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> str:
    """The name of a package that can be imported, and that no distribution has."""
    folder = tmp_path_factory.mktemp("packages")
    name = f"loose_{worker_id}"
    (folder / name).mkdir()
    (folder / name / "scoring.py").write_text(SCORING)
    (folder / name / "broken.py").write_text("raise OSError('no licence')")
    sys.path.append(str(folder))
    return name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Iris", "no host name"),
        ("iris-", "no host name"),
        ("my_iris", "no host name"),
        ("i" * 64, "no host name"),
        ("", "no host name"),
        ("car-evaluation", "there is a service"),
        ("kmeans", "there is a service"),
        ("gateway", "there is a service"),
        ("numpy", "a module of Python already"),
        ("class", "a module of Python already"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name: str, reason: str) -> None:
    """A name that is no host name, or that something else has, is refused with the reason."""
    with pytest.raises(ServiceError, match=reason):
        check_name(name)


def test_ports_are_the_first_free_ones() -> None:
    """Without a wish a port is chosen that no part has; a port that is taken is refused."""
    chosen = choose_ports(None)
    taken = [port for part in Plan().parts for port in part.ports.values()]

    assert not {*chosen} & {*taken}
    for port in (*taken, 0, 70_000):
        with pytest.raises(ServiceError, match=r"in use|is no port"):
            choose_ports(port)
    port = free_port()
    assert choose_ports(port) == (port, port + 10)


@pytest.mark.parametrize("above", [0, 10])
def test_a_port_in_use_is_refused(above: int) -> None:
    """So is one whose second instance would have a port that another program listens on."""
    port = free_port()
    with (
        socket.create_server(("127.0.0.1", port + above)),
        pytest.raises(ServiceError, match="in use: leave PORT out"),
    ):
        choose_ports(port)


def test_a_function_becomes_a_row_and_outputs(module: str) -> None:
    """Arguments with bounds, choices and defaults are fields; a dataclass has an output a field."""
    origin = origin_of(f"{module}:score")

    assert origin.row == {"age": 65, "area": "n"}
    assert "age: Annotated[int, Field(ge=0, le=130)]" in origin.model
    assert "area: Literal['n', 's'] = 'n'" in origin.model
    assert '"risk": Out("FP64"),' in origin.model
    assert "\"label\": Out(\"BYTES\", values=['low', 'high'])," in origin.model
    assert "each.risk for each in answers" in origin.model
    assert f"from $package.given.{module} import score" in origin.model
    assert list(origin.files) == ["given/__init__.py", f"given/{module}.py"]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("product", ['"result": Out("FP64")', '"result": answers']),
        ("keyed", ["parts: list[float]", 'Out("FP64", -1)', 'each["pair"]']),
    ],
)
def test_an_answer_may_be_one_value_or_named_ones(
    module: str, function: str, words: list[str]
) -> None:
    """A plain value is the output `result`; a TypedDict has an output for each key."""
    model = origin_of(f"{module}:{function}").model

    assert all(word in model for word in words)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("untyped", "the argument x has no type: give each argument"),
        ("half", "the answer has no type"),
        ("anything", "any value is no float, int"),
        ("rest", "the argument x has no name"),
        ("none", "takes no arguments"),
        ("taken", "has 'version' already"),
        ("value", "is no plain function"),
        ("absent", "has no absent"),
    ],
)
def test_a_function_that_cannot_be_served_is_refused(
    module: str, function: str, reason: str
) -> None:
    """A function without types, or with types that are no fields, is refused with the way out."""
    with pytest.raises(UnusableOriginError, match=reason):
        origin_of(f"{module}:{function}")


def test_what_is_no_origin_is_refused() -> None:
    """A module that is not there, and a text that is neither function nor file, are refused."""
    with pytest.raises(UnusableOriginError, match="cannot be imported"):
        origin_of("no_such_module_anywhere:f")
    with pytest.raises(UnusableOriginError, match=r"no \.onnx file and no package"):
        origin_of("model.bin")


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("scoring:product", r"package \w+ is not installed.*an image would lack it.*pyproject"),
        ("scoring:untyped", "the argument x has no type"),
        ("broken:f", r"cannot be imported \(OSError: no licence\): install it"),
    ],
)
def test_a_package_that_is_not_installed_is_refused(
    package: str, function: str, reason: str
) -> None:
    """A folder that is only on the path would not be in an image; a module may fail to import."""
    with pytest.raises(UnusableOriginError, match=reason):
        origin_of(f"{package}.{function}")


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    """A pickle is refused by its ending or its first byte, with its writer and the way to ONNX."""
    file = tmp_path / "model.bin"
    file.write_bytes(pickle.dumps(LogisticRegression()))

    with pytest.raises(UnusableOriginError, match=r"of scikit-learn \d.*to_onnx.*skops"):
        origin_of(str(file))
    for name in ("model.joblib", "model.pkl"):
        with pytest.raises(UnusableOriginError, match="is a pickle"):
            origin_of(name)


def test_a_failure_at_the_end_leaves_nothing() -> None:
    """A template that cannot be filled leaves the tree and the Compose file as they were."""
    before = [file.read_text() for file in files(found())]
    bad = Origin(model="$no_such_value", dependencies=(), row={}, files={})

    with pytest.raises(KeyError):
        create("never-there", bad, free_port())
    assert not (FOLDER / "never_there").exists()
    assert list(STATE.glob("new-service-*")) == []
    assert [file.read_text() for file in files(found())] == before


def test_a_service_that_is_not_there_cannot_be_removed() -> None:
    """The refusal names those that are there; a running service is not removed either."""
    with pytest.raises(ServiceError, match="car-evaluation"):
        named("never-there")
    with pytest.raises(ServiceError, match="make down"):
        remove("car-evaluation", ["classifier-1"])
    assert "car-evaluation" in {each.name for each in found()}
