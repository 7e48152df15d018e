"""A clustering of points in the plane as an SVG picture."""

from kmeans.clustering import Clustering
from kmeans.schemas import Array

WIDTH, HEIGHT, MARGIN = 640, 480, 40
COLOURS = ("#3366cc", "#dc3912", "#109618", "#ff9900", "#990099", "#0099c6", "#dd4477", "#66aa00")


def draw(points: Array, clustering: Clustering) -> str:
    """Return an SVG document: a dot for each point, a cross for each centre, one colour a cluster.

    Args:
        points: (n, 2) float64.
        clustering: clusters of these points.
    """
    low = points.min(axis=0)
    # Halved before subtracting, as the span of two large numbers may not fit into a float64.
    half = points.max(axis=0) / 2 - low / 2
    half[half == 0] = 0.5

    def place(rows: Array) -> list[list[float]]:
        across = (rows / 2 - low / 2) / half
        x = MARGIN + across[:, 0] * (WIDTH - 2 * MARGIN)
        y = HEIGHT - MARGIN - across[:, 1] * (HEIGHT - 2 * MARGIN)
        return [[round(a, 1), round(b, 1)] for a, b in zip(x.tolist(), y.tolist(), strict=True)]

    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS[label % len(COLOURS)]}"/>'
        for (x, y), label in zip(place(points), clustering.labels.tolist(), strict=True)
    )
    crosses = "".join(
        f'<path d="M{x - 7:.1f} {y}h14M{x} {y - 7:.1f}v14" stroke="{COLOURS[i % len(COLOURS)]}"/>'
        for i, (x, y) in enumerate(place(clustering.centres))
    )
    title = f"{len(points)} points in {len(clustering.centres)} clusters"
    if note := clustering.shortfall.get("note"):
        title += f": {note}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f'<title>{title}</title><rect width="100%" height="100%" fill="#fff"/>'
        f'<g fill-opacity=".8">{dots}</g><g stroke-width="3" fill="none">{crosses}</g></svg>'
    )
