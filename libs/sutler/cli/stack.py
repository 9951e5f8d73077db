"""Finds the checkout that holds the services."""

from __future__ import annotations

from pathlib import Path

from sutler.errors import FailedPrecondition


def find_checkout(start: Path) -> Path:
    """Returns the nearest folder at or above ``start`` that is a checkout of Sutler.

    Raises:
        FailedPrecondition: If there is none: the installed package holds the client, not the services.
    """
    for folder in (start, *start.parents):
        if (folder / "deploy/local").is_dir() and (folder / "services").is_dir():
            return folder
    raise FailedPrecondition(
        "the services are not here: go to a checkout of Sutler first", metadata={"path": str(start)}
    )
