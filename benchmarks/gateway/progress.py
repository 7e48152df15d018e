"""The progress of a long run: a line for each step, with the time spent and the time left."""

import time


class Progress:
    """Prints the steps of a run.

    Args:
        seconds: what all steps will take; the time left is corrected by how long they really take.
    """

    def __init__(self, seconds: float) -> None:
        self._planned = seconds
        self._done = 0.0
        self._began = time.monotonic()

    def step(self, seconds: float, text: str) -> None:
        """Print that a step is over, which was planned to take some seconds."""
        self._done += seconds
        spent = time.monotonic() - self._began
        left = max(self._planned - self._done, 0.0) * spent / self._done
        print(f"{_minutes(spent)} spent, {_minutes(left)} left  {text}", flush=True)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:2d}:{rest:02d}"
