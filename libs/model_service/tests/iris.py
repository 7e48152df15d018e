"""A model service in a page of code: the species of an iris, from a data set of scikit-learn's."""

from typing import Annotated, Any, ClassVar

from model_service import GoldenRow, Live, Out, RowModel, Rows, main
from pydantic import BaseModel, Field
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

Cm = Annotated[float, Field(ge=0, le=30)]
SETOSA = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}


class Iris(RowModel):
    """Tells the species of an iris from four measurements in cm."""

    name, version, port = "iris", "1.0.0", 8002

    class Row(BaseModel, strict=True):
        sepal_length: Cm
        sepal_width: Cm
        petal_length: Cm
        petal_width: Cm

    class Config(Live):
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    outputs: ClassVar = {
        "predictions": Out("INT64"),
        "labels": Out("BYTES", values=["setosa", "versicolor", "virginica", "unknown"]),
        "probabilities": Out("FP64", 3),
    }
    golden = (GoldenRow(SETOSA, {"labels": "setosa"}),)

    def __init__(self) -> None:
        data = load_iris()
        self.species, self.reference = data.target_names, data.data
        self.forest = RandomForestClassifier(10, random_state=9).fit(data.data, data.target)

    def predict(self, rows: Rows[Row], config: Config) -> dict[str, Any]:
        """Tell each row's species, or `unknown` below the document's threshold."""
        shares = self.forest.predict_proba(rows.matrix())
        labels = self.species[shares.argmax(axis=1)]
        labels[shares.max(axis=1) < config.threshold] = "unknown"
        return {"predictions": shares.argmax(axis=1), "labels": labels, "probabilities": shares}


if __name__ == "__main__":
    main(Iris)
