"""Fills in the variables of a template's strings: ``{{ machine_request }}``, ``{{ tags.size }}``."""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
NAMES = ("machine_request", "template", "provider")
TAGS = "tags."


def unknown_variables(text: str) -> list[str]:
    """Returns the variables in a text that nothing could fill in."""
    return [name for name in _VARIABLE.findall(text) if name not in NAMES and not name.startswith(TAGS)]


def expand(text: str, values: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """Returns a text with its variables filled in; a tag that is not there is empty.

    Args:
        text: What the template says.
        values: The value of each of :data:`NAMES`.
        tags: The tags of the machine.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return tags.get(name.removeprefix(TAGS), "") if name.startswith(TAGS) else values.get(name, "")

    return _VARIABLE.sub(value, text)
