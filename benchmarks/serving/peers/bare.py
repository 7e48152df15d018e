"""The clusterer's floor: CPU seconds of one `KMeans.fit_predict`, nothing around it.

Usage: `python bare.py POINTS.json`; for each line "SECONDS" on standard input the program fits that
long and prints the cost of a fit. It waits in between, so that a turn has no start to pay for.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits


def cost(points: np.ndarray, seconds: float) -> float:
    """Return the CPU seconds of a fit, averaged over as many fits as `seconds` allow."""
    fits, start, end = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < end:
        KMeans(3, random_state=9, n_init=10).fit_predict(points)
        fits += 1
    return (time.process_time() - start) / fits


with threadpool_limits(1):
    points = np.array(json.loads(Path(sys.argv[1]).read_text())["points"], float)
    KMeans(3, random_state=9, n_init=10).fit_predict(points)
    for line in sys.stdin:
        print(cost(points, float(line)), flush=True)
