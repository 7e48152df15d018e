"""The clusterer's floor: CPU seconds of one `KMeans.fit_predict`, nothing around it.

`python bare.py SECONDS POINTS.json ...` prints a JSON list, one figure a file.
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


seconds, files = float(sys.argv[1]), sys.argv[2:]
with threadpool_limits(1):
    points = [np.array(json.loads(Path(file).read_text())["points"], float) for file in files]
    print(json.dumps([cost(one, seconds) for one in points]))
