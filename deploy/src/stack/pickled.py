"""Pickles: recognised without loading them, for a pickle runs code of its author when loaded."""

import pickletools
from importlib.metadata import version
from pathlib import Path

ENDINGS = {".pkl", ".pickle", ".joblib", ".sav", ".p"}
PICKLE = b"\x80"
"""The first byte of a pickle of protocol 2 or newer."""
VERSION_KEY = "_sklearn_version"
"""The attribute in which scikit-learn keeps the version that wrote a pickled estimator."""


def is_pickle(file: Path) -> bool:
    """Return whether a file is a pickle, by its ending or by its first byte."""
    if file.suffix in ENDINGS:
        return True
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(1) == PICKLE


def refusal(file: Path) -> str:
    """Return why a pickle is not served, and the ways that are open to its author."""
    written = writer(file)
    by = ""
    if written:
        by = f" (of scikit-learn {written}; here is {version('scikit-learn')})"
    return (
        f"is a pickle{by}: whoever loads a pickle runs its author's code, and it fits one version"
        " of Python and scikit-learn. Models are data here. Write it as ONNX where it was trained:"
        " skl2onnx.to_onnx(model, X[:1], options={'zipmap': False}).SerializeToString(); or as"
        " skops, `skops.io.dump(model, 'model.skops')`, and load that in __init__ of the example"
        " that make new-service writes without FROM"
    )


def writer(file: Path) -> str | None:
    """Return the version of scikit-learn that wrote a pickle; None if it does not say so."""
    if not file.is_file():
        return None
    try:
        texts = [
            text for _, text, _ in pickletools.genops(file.read_bytes()) if isinstance(text, str)
        ]
    except ValueError:  # compressed, or broken: not read any further
        return None
    after = texts.index(VERSION_KEY) + 1 if VERSION_KEY in texts else len(texts)
    return texts[after] if after < len(texts) else None
