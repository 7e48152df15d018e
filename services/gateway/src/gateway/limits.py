"""Per-route limits: requests per second and requests at a time. State, but no clock."""


class Rate:
    """A token bucket: `per_second` on average, `burst` at once."""

    __slots__ = ("_at", "_left", "burst", "per_second")

    def __init__(self, per_second: float, burst: int) -> None:
        self.per_second = per_second
        self.burst = burst
        self._left = float(burst)
        self._at = 0.0

    def take(self, now: float) -> float:
        """Take one request: 0 if it may go, else the seconds until one may."""
        self._left = min(self.burst, self._left + (now - self._at) * self.per_second)
        self._at = now
        if self._left >= 1:
            self._left -= 1
            return 0.0
        return (1 - self._left) / self.per_second


class Gate:
    """At most `width` requests at a time."""

    __slots__ = ("inside", "width")

    def __init__(self, width: int) -> None:
        self.width = width
        self.inside = 0

    def enter(self) -> bool:
        """Go in, if there is room."""
        if self.inside >= self.width:
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        """Make room."""
        self.inside -= 1
