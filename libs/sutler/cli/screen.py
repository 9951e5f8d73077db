"""Where the command prints, in which form, and how a command ends that cannot go on."""

from __future__ import annotations

from enum import StrEnum

from rich.console import Console

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Format(StrEnum):
    """How things are printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Form(StrEnum):
    """What files of records are."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class Failed(Exception):
    """Ends the command with a sentence, or a few lines, for people."""

    exit_code = 1


class Misused(Failed):
    """The command was called wrongly: its words say what is missing."""

    exit_code = 2
