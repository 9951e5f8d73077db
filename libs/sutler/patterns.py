"""What regular expressions may cost, read from their text."""

from __future__ import annotations

import math
import re

_GROUP_COUNTS = re.compile(r"(?<=\))\{(?:\d*,)?(\d+),?\}")
_COUNTS = re.compile(r"(?<!\))\{(?:\d*,)?(\d+),?\}")
_CLASS = re.compile(r"\\[pP]")


def pattern_weight(pattern: str, *, class_factor: int) -> int:
    """Returns the length of a regular expression times what it repeats.

    Args:
        pattern: The regular expression.
        class_factor: How much more it weighs if it has a class such as ``\\p{L}``, of hundreds of ranges.
    """
    repeated = 1 + sum(map(int, _COUNTS.findall(pattern)))
    groups = math.prod(max(1, int(count)) for count in _GROUP_COUNTS.findall(pattern)[:8])
    return len(pattern) * repeated * groups * (class_factor if _CLASS.search(pattern) else 1)
