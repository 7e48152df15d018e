"""A service of an ONNX file: which files can be one, and what becomes of their inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from stack.given_origin import origin_of
from stack.origins import UnusableOriginError

FLOAT, INT, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING


def written(
    folder: Path,
    inputs: Sequence[tuple[str, int, list[Any]]],
    outputs: Sequence[tuple[str, int, list[Any]]],
    nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]],
    weights: Sequence[tuple[str, list[Any]]] = (),
) -> str:
    """Write an ONNX file; return its path."""
    graph = helper.make_graph(
        [helper.make_node(kind, given, made, **more) for kind, given, made, more in nodes],
        "graph",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        [numpy_helper.from_array(np.array(each, np.float32), name) for name, each in weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return str(file)


def test_one_matrix_is_a_list_in_a_row(tmp_path: Path) -> None:
    """An input of k values a row is a list of k; outputs have the shapes of a probe."""
    file = written(
        tmp_path,
        [("X", FLOAT, [None, 2])],
        [("label", INT, [None]), ("version", FLOAT, [None, 3])],
        [
            ("MatMul", ["X", "w"], ["version"], {}),
            ("ArgMax", ["version"], ["label"], {"axis": 1, "keepdims": 0}),
        ],
        [("w", [[1, 0, 1], [0, 1, 1]])],
    )
    origin = origin_of(file)

    assert origin.row == {"x": [1.0, 1.0]}
    value = "Annotated[float, Field(ge=-1e+18, le=1e+18)]"
    assert f"x: Annotated[list[{value}], Field(min_length=2, max_length=2)]" in origin.model
    assert "'X': np.array([row.x for row in rows], np.float32)" in origin.model
    assert "'label': Out(\"INT64\")," in origin.model
    assert (
        "'version_of_model': Out(\"FP64\", 3)," in origin.model
    )  # an answer has a version already
    assert list(origin.files) == ["given/model.onnx"]


def test_a_column_is_a_field(tmp_path: Path) -> None:
    """An input of one value a row is a plain field, whatever Python thinks of its name."""
    file = written(
        tmp_path,
        [("Age of-owner", FLOAT, [None, 1]), ("class", INT, [None]), ("2nd", TEXT, [None, 1])],
        [("a", FLOAT, [None, 1]), ("b", INT, [None]), ("c", TEXT, [None, 1])],
        [
            ("Identity", ["Age of-owner"], ["a"], {}),
            ("Identity", ["class"], ["b"], {}),
            ("Identity", ["2nd"], ["c"], {}),
        ],
    )
    origin = origin_of(file)

    assert origin.row == {"age_of_owner": 1.0, "x_class": 1, "x_2nd": "a"}
    assert "[row.age_of_owner] for row in rows], np.float32" in origin.model
    assert "np.array([row.x_class for row in rows], np.int64)" in origin.model
    assert "'c': Out(\"BYTES\", 1)," in origin.model


@pytest.mark.parametrize(
    ("kind", "shape", "reason"),
    [
        (FLOAT, [1, 4], "dynamic first axis"),
        (FLOAT, [None, 3, 8, 8], "dynamic first axis"),
        (FLOAT, [], "dynamic first axis"),
        (FLOAT, [None, None], "must be known"),
        (TensorProto.FLOAT16, [None, 4], "a field of a row is one of"),
    ],
)
def test_an_input_that_is_no_row_is_refused(
    tmp_path: Path, kind: int, shape: list[Any], reason: str
) -> None:
    """An input that cannot be served is refused with its name, type and shape, and the way out."""
    file = written(
        tmp_path, [("X", kind, shape)], [("y", kind, shape)], [("Identity", ["X"], ["y"], {})]
    )

    with pytest.raises(UnusableOriginError, match=f"'X' is tensor.*{reason}"):
        origin_of(file)


def test_an_output_that_is_not_by_row_is_refused(tmp_path: Path) -> None:
    """An output that does not have an element for each row is refused."""
    file = written(
        tmp_path,
        [("X", FLOAT, [None, 4])],
        [("mean", FLOAT, [1, 1])],
        [("ReduceMean", ["X"], ["mean"], {})],
    )

    with pytest.raises(UnusableOriginError, match="'mean' has float32 of the shape"):
        origin_of(file)


def test_maps_are_refused_with_the_way_to_arrays(tmp_path: Path) -> None:
    """Probabilities as maps, scikit-learn's default, are refused with the option that helps."""
    graph = helper.make_graph(
        [
            helper.make_node(
                "ZipMap", ["X"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]
            )
        ],
        "graph",
        [helper.make_tensor_value_info("X", FLOAT, [None, 2])],
        [
            helper.make_value_info(
                "maps",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(INT, helper.make_tensor_type_proto(FLOAT, []))
                ),
            )
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    file = tmp_path / "model.onnx"
    file.write_bytes(
        helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )

    with pytest.raises(UnusableOriginError, match="zipmap"):
        origin_of(str(file))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    """A file that is not there, or something else under that name, is refused."""
    (tmp_path / "text.onnx").write_text("no model")

    with pytest.raises(UnusableOriginError, match="cannot be read: No such file"):
        origin_of(str(tmp_path / "absent.onnx"))
    with pytest.raises(UnusableOriginError, match="cannot be loaded by onnxruntime"):
        origin_of(str(tmp_path / "text.onnx"))
