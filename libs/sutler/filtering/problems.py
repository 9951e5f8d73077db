"""What is wrong with a filter, and where."""

from __future__ import annotations

from sutler.errors import Invalid, invalid

MAX_SHOWN = 80
"""How many characters of a caller's text an error repeats."""


def problem(position: int, description: str, **metadata: str) -> Invalid:
    """Returns the error for a filter that is wrong at a position (from 0; told from 1)."""
    where = str(position + 1)
    return invalid(
        "filter",
        f"{description}, at position {where}",
        reason="FILTER_INVALID",
        metadata={"position": where, **metadata},
    )


def shown(text: str) -> str:
    """Returns a caller's text as errors show it: errors travel in headers, which are small."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
