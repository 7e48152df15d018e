# /// script
# requires-python = ">=3.11"
# dependencies = ["pandas", "scikit-learn==1.9.*", "skl2onnx==1.20.*"]
# ///
"""Trains a classifier of wines and writes it as ONNX: an input for each measurement."""

import sys
from pathlib import Path

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline

MEASURED = ["alcohol", "color_intensity", "flavanoids", "proline"]

wines, cultivar = load_wine(return_X_y=True, as_frame=True)
model = make_pipeline(
    ColumnTransformer([("measured", "passthrough", MEASURED)]),
    RandomForestClassifier(n_estimators=30, random_state=9),
)
model.fit(wines[MEASURED], cultivar)
written = to_onnx(
    model,
    initial_types=[(name, FloatTensorType([None, 1])) for name in MEASURED],
    options={"zipmap": False},
)
Path(sys.argv[1]).write_bytes(written.SerializeToString())
