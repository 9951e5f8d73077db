"""What ``get`` and ``watch`` know, in their help and for the shell's completion."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


def _collections() -> list[str]:
    from sutler.cli.kinds import collections

    return collections()


def _feeds() -> list[str]:
    from sutler.cli.watching import offered

    return offered()


def complete_collections(incomplete: str) -> list[str]:
    """Returns the collections that begin so, without those inside of a thing."""
    return [name for name in _collections() if name.startswith(incomplete) and "/" not in name]


def complete_feeds(incomplete: str) -> list[str]:
    """Returns the feeds that begin so."""
    return [name for name in _feeds() if name.startswith(incomplete)]


class ListsCollections(TyperCommand):
    """Its help ends with the collections."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        self.epilog = f"Collections: {', '.join(_collections())}"
        super().format_help(ctx, formatter)


class ListsFeeds(TyperCommand):
    """Its help ends with the feeds."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        self.epilog = f"Can be followed: {', '.join(_feeds())}"
        super().format_help(ctx, formatter)
