"""`python -m car_evaluation_model.card [VERSION ...]`: writes model cards and confusion matrices.

All facts of a card come from the configuration and the manifest; a test finds outdated cards.
"""

import sys
from collections.abc import Sequence
from html import escape

from car_evaluation_model.config.core import Config, Recipe, read_config
from car_evaluation_model.processing.data_manager import Manifest, read_release, release_folder

CELL, LEFT, TOP = 92, 86, 58  # pixels

CARD = """\
# Model card: car evaluation {version}

Judges a car as {classes} from six attributes, given as categories.

| attribute | values, worst to best |
|---|---|
{fields}

## Model

`{family}`: {settings}. Trained with scikit-learn {sklearn}, shipped as plain data; serving computes
with numpy only. {meaning} {probabilities}

## Data

UCI "Car Evaluation": every combination of the attributes once, {rows} rows ({counts}).
By Marko Bohanec, donated in 1997 to the UCI Machine Learning Repository (doi 10.24432/C5JP48);
licence CC BY 4.0. The rows are unchanged. The labels were derived from an expert's decision model,
so they are noise-free rules and not observations of buyers.

## Quality on unseen rows

{repeats} times {folds}-fold stratified cross-validation, {fits} fits, measured on the shipped
arithmetic.

| figure | value |
|---|---:|
| accuracy, mean ± standard deviation over fits | {accuracy:.4f} ± {deviation:.4f} |
| accuracy, worst fit | {worst:.4f} |
| balanced accuracy | {balanced_accuracy:.4f} |
{recalls}
| log loss | {log_loss:.4f} |
| Brier score | {brier:.4f} |
{curve}

{bound}

![confusion matrix](confusion.svg)

## Limits

- The data is the whole domain. The released model was fitted to every possible input, so its
  accuracy on them says nothing; the figures above are of fits that had not seen the rows asked.
- In a fold of a full grid, close neighbours of each unseen row are among the rows trained on. The
  figures for smaller training sets show how much that helps.
- The recipe was chosen on the same data; expect a slight optimism in the figures.
- The rules are of the 1990s, and uniform over combinations that no dealer sells in equal numbers.
  Do not use the class of a car as a price, a safety rating, or a judgement of its buyer.
- `persons` is not ordered: more than four seats can be judged worse than four.

## Digests (sha256)

{digests}
"""

PROBABILITIES = {
    "support_vectors": (
        "Probabilities are calibrated: a sigmoid per pair of classes, one slope for all, chosen on "
        "unseen rows with Laplace's smoothing. They rank doubt; do not read them as frequencies."
    ),
    "boosted_trees": "Probabilities are the model's own, without calibration.",
}
MEANING = {
    "support_vectors": "One-hot attributes, a polynomial kernel, a vote for each pair of classes.",
    "boosted_trees": "One tree for each class and iteration, over the positions of the values.",
}


def card(config: Config, recipe: Recipe, manifest: Manifest, classes: Sequence[int]) -> str:
    """Return the card's Markdown; `classes` counts the training rows of each class."""
    metrics, training = manifest.metrics, config.training
    settings = recipe.model_dump(exclude={"family", "data"})
    return CARD.format(
        **metrics.model_dump(exclude={"recall", "learning_curve", "confusion"}),
        version=manifest.version,
        classes=", ".join(config.classes),
        fields="\n".join(
            f"| {field.name} | {', '.join(field.values)} |" for field in config.features
        ),
        family=recipe.family,
        settings=", ".join(f"{name} {value:g}" for name, value in settings.items()),
        sklearn=manifest.trained_with["scikit-learn"],
        meaning=MEANING[recipe.family],
        probabilities=PROBABILITIES[recipe.family],
        rows=f"{sum(classes):,}",
        counts=", ".join(f"{n} {c:,}" for n, c in zip(config.classes, classes, strict=True)),
        repeats=training.repeats,
        folds=training.folds,
        fits=training.folds * training.repeats,
        recalls="\n".join(
            f"| recall of {name} | {value:.4f} |"
            for name, value in zip(config.classes, metrics.recall, strict=True)
        ),
        curve="\n".join(
            f"| accuracy when trained on {share} of the rows | {value:.4f} |"
            for share, value in metrics.learning_curve.items()
        ),
        bound=bound(metrics.accuracy, sum(classes)),
        digests="\n".join(f"- {n}: `{v}`" for n, v in manifest.sha256.model_dump().items()),
    )


def bound(accuracy: float, rows: int) -> str:
    """Return the sentence on how far the accuracy, seen on `rows` rows, can be relied on."""
    if accuracy < 1:
        return f"The spread is over folds of the same {rows:,} rows."
    return (
        f"No unseen row was answered wrongly. With {rows:,} different rows that bounds the error "
        f"rate at {3 / rows:.2%} with 95 % confidence, not at zero (rule of three: Hanley and "
        "Lippman-Hand, JAMA 1983)."
    )


def picture(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """Draw the confusion matrix as SVG: a row per true class, cells shaded by share of the row."""
    size = len(classes)
    width, height = LEFT + size * CELL + 12, TOP + size * CELL + 12
    area = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'font-family="sans-serif" font-size="14"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {area} {font}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT + size * CELL / 2, 20, "predicted (rows: true class)"),
    ]
    for row, (name, counts) in enumerate(zip(classes, confusion, strict=True)):
        middle = TOP + (row + 0.5) * CELL
        parts.append(_text(LEFT + (row + 0.5) * CELL, TOP - 10, name))
        parts.append(_text(LEFT / 2, middle + 5, name))
        for column, count in enumerate(counts):
            share = count / sum(counts)
            left = LEFT + column * CELL
            colour = "#1a6faf" if row == column else "#c0392b"
            parts.append(
                f'<rect x="{left}" y="{TOP + row * CELL}" width="{CELL - 2}" height="{CELL - 2}" '
                f'fill="{colour}" fill-opacity="{max(share, 0.04):.2f}"/>'
            )
            ink = "white" if share > 0.5 else "black"  # noqa: PLR2004 - half the shade
            parts.append(_text(left + CELL / 2, middle + 5, f"{count:,}", ink))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, content: str, fill: str = "black") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" fill="{fill}">{escape(content)}</text>'


def pages(config: Config, version: str) -> dict[str, str]:
    """Return the files of a release's card: name -> content."""
    _, _, manifest = read_release(version)
    confusion = manifest.metrics.confusion
    rows = [sum(line) // config.training.repeats for line in confusion]
    return {
        "card.md": card(config, config.releases[version], manifest, rows),
        "confusion.svg": picture(config.classes, confusion),
    }


def write(config: Config, version: str) -> None:
    """Write the files of the card into the folder of the release."""
    for name, content in pages(config, version).items():
        (release_folder(version) / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or list(read_config().releases):
        write(read_config(), chosen)
