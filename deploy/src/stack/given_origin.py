"""The origin that `FROM` names: an ONNX file, a function, or nothing: an example."""

from pathlib import Path

from stack.function_origin import from_function
from stack.origins import LIBRARY, Origin, UnusableOriginError, filled
from stack.pickled import is_pickle, refusal

SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


def origin_of(given: str | None) -> Origin:
    """Return the origin of a file or of `package.module:function`; the example if none is given.

    Raises:
        UnusableOriginError: no service can be made of it; the message says what to do.
    """
    if not given:
        return example()
    file = Path(given)
    if is_pickle(file):
        raise UnusableOriginError(f"FROM={given} {refusal(file)}")
    if file.suffix == ".onnx":
        from stack.onnx_origin import from_onnx  # noqa: PLC0415 - onnxruntime loads for long

        return from_onnx(file)
    if ":" in given and not file.exists():
        return from_function(given)
    raise UnusableOriginError(
        f"FROM={given} is no .onnx file and no package.module:function;"
        " leave FROM out for a running example"
    )


def example() -> Origin:
    """Return a running example: a forest of a data set that scikit-learn has."""
    model = filled("example.py.in")
    return Origin(model, (*LIBRARY, "scikit-learn>=1.7"), SETOSA, {})
