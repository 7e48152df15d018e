"""The clusterer's floor: CPU seconds of one `KMeans.fit_predict`, nothing around it.

Usage: `python bare.py SECONDS POINTS.json`.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


def cost(points: np.ndarray, seconds: float) -> float:
    """CPU seconds of a fit, averaged over as many as `seconds` allow."""
    KMeans(3, random_state=9, n_init=10).fit_predict(points)
    fits, start, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        KMeans(3, random_state=9, n_init=10).fit_predict(points)
        fits += 1
    return (time.process_time() - start) / fits


with threadpool_limits(1):
    points = np.array(json.loads(Path(sys.argv[2]).read_text())["points"], float)
    print(cost(points, float(sys.argv[1])))
