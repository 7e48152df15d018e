"""A forest of scikit-learn as a service in Nacos: `python diabetes.py` starts it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from model_service import Live, Out, RowModel, Rows, main
from pydantic import BaseModel, Field
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor


class Diabetes(RowModel):
    """Tells how far a patient's diabetes has progressed after a year, from 25 to 346."""

    name, version, port = "diabetes", "1.0.0", 8031

    class Row(BaseModel, strict=True):
        """A patient; the names are those of scikit-learn's data set."""

        age: Annotated[float, Field(ge=0, le=130)]
        bmi: Annotated[float, Field(ge=10, le=80)]
        bp: Annotated[float, Field(ge=30, le=200)]

    class Config(Live):
        """The Nacos document `diabetes`."""

        share: Annotated[float, Field(ge=0, le=1)] = 0.8

    outputs: ClassVar = {"progression": Out("FP64"), "low": Out("FP64"), "high": Out("FP64")}

    def __init__(self) -> None:
        patients, progression = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
        self.forest = RandomForestRegressor(n_estimators=30, min_samples_leaf=5, random_state=9)
        self.forest.fit(patients[list(self.Row.model_fields)].to_numpy(), progression)

    def predict(self, rows: Rows[Row], config: Config) -> Mapping[str, Any]:
        """Answer with the mean of the trees, and the bounds within which `share` of them are."""
        trees = np.stack([tree.predict(rows.matrix()) for tree in self.forest.estimators_])
        low, high = np.quantile(trees, [0.5 - config.share / 2, 0.5 + config.share / 2], axis=0)
        return {"progression": trees.mean(axis=0), "low": low, "high": high}


if __name__ == "__main__":
    main(Diabetes)
