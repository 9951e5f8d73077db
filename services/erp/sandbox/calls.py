"""How often which method was called: what tests and measurements of a client ask."""

from collections import Counter


class Calls:
    """Counts calls by method, whatever the model and the answer: `read`, `search_read`, `authenticate` …"""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, method: object) -> None:
        """Count one call."""
        self._counts[str(method)] += 1

    def counted(self) -> dict[str, int]:
        """Return the counts since the start or the last reset."""
        return dict(self._counts)

    def reset(self) -> None:
        """Begin anew."""
        self._counts.clear()
