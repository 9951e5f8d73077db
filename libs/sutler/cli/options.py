"""What several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sutler.cli.screen import Format

if TYPE_CHECKING:
    from sutler.cli.target import Target

Output = Annotated[Format, typer.Option("--output", "-o", help="table for people, json or yaml for programs")]
File = Annotated[Path | None, typer.Option("--file", "-f", help="A YAML file, a folder of them, or - for stdin")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal")]


def target_of(context: typer.Context) -> Target:
    """Returns where a command works."""
    from sutler.cli.target import Target

    options: dict[str, Any] = context.obj
    return Target(**options)
