"""The model: its row and its outputs, as the file has them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from model_service import Live, Out, RowModel, Rows
from onnxruntime import InferenceSession, SessionOptions
from pydantic import BaseModel, Field

MODEL = Path(__file__).parent / "given" / "model.onnx"


class Wine(RowModel):
    """Answers by wine.onnx."""

    name, version, port = "wine", "1.0.0", 8002
    platform = "onnx"

    class Row(BaseModel, strict=True):
        alcohol: Annotated[float, Field(ge=-1e18, le=1e18)]
        color_intensity: Annotated[float, Field(ge=-1e18, le=1e18)]
        flavanoids: Annotated[float, Field(ge=-1e18, le=1e18)]
        proline: Annotated[float, Field(ge=-1e18, le=1e18)]

    outputs: ClassVar = {
        "label": Out("INT64"),
        "probabilities": Out("FP64", 3),
    }

    def __init__(self) -> None:
        options = SessionOptions()
        options.intra_op_num_threads = 1  # rows of one call do not take the other calls' processors
        self.session = InferenceSession(MODEL.read_bytes(), options)

    def predict(
        self,
        rows: Rows[Row],
        config: Live,  # noqa: ARG002 - what may change while the service runs
    ) -> Mapping[str, Any]:
        """Run the model once for all rows."""
        inputs = {
            "alcohol": np.array([[row.alcohol] for row in rows], np.float32),
            "color_intensity": np.array([[row.color_intensity] for row in rows], np.float32),
            "flavanoids": np.array([[row.flavanoids] for row in rows], np.float32),
            "proline": np.array([[row.proline] for row in rows], np.float32),
        }
        return dict(
            zip(self.outputs, self.session.run(["label", "probabilities"], inputs), strict=True)
        )
