"""What services and the reader refuse, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sutler.cli.screen import Failed
from sutler.errors import SutlerError

WORTH_SECONDS = 2.0
"""From when on it is told how long to wait."""


class Placed(Protocol):
    """A document: what is refused."""

    @property
    def name(self) -> str:
        """The resource name."""
        ...

    @property
    def place(self) -> str:
        """Where it stands, ``file:line``."""
        ...

    @property
    def title(self) -> str:
        """Its kind and name."""
        ...


class Refused(Failed):
    """Services refuse documents.

    Args:
        refused: Each document with its error.
    """

    def __init__(self, refused: Sequence[tuple[Placed, SutlerError]]) -> None:
        super().__init__("\n".join(f"{placed.place} {placed.title}: {explain(error)}" for placed, error in refused))


def explain(error: SutlerError) -> str:
    """Returns an error for people: every violation once, or the message; when to try again; and the reason."""
    if len(error.violations) < 2:
        seconds = error.retry_after.total_seconds() if error.retry_after else 0.0
        again = f"; try again in {seconds:.0f} s" if seconds >= WORTH_SECONDS else ""
        return f"{error.message}{again} [{error.reason}]"
    lines = [f"{len(error.violations)} problems [{error.reason}]"]
    return "\n".join([*lines, *(f"  {v.field}: {v.description}" for v in error.violations)])
