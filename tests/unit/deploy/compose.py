"""Reads the compose file and the Dockerfile as Docker would, as far as the tests need it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy/docker"
VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


def services(environment: Mapping[str, str]) -> dict[str, Any]:
    """Returns the services of the compose file, with variables replaced.

    Raises:
        LookupError: If a variable that the file demands is not set.
    """
    found = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    parts: dict[str, Any] = _replaced(found["services"], environment)
    return parts


def _replaced(value: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, environment) for inner in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        name, kind, text = match.groups()
        if name in environment:
            return environment[name]
        if kind == "-":
            return text
        raise LookupError(text or name)

    return VARIABLE.sub(one, value).replace("$$", "$")


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile."""

    name: str
    words: list[str]
    text: str


def dockerfile() -> list[Instruction]:
    """Returns the instructions of the Dockerfile, continued lines joined."""
    lines = (line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = []
    for line in filter(None, joined.splitlines()):
        name, _, text = line.partition(" ")
        found.append(Instruction(name, text.split(), text))
    return found
