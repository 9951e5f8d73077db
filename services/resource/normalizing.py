"""What is done to values before they are checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from services.resource.resource_type import Kind

_SPACE = re.compile(r"\s+")

CHANGES: Mapping[Kind, Callable[[str], str]] = {
    Kind.TRIM: str.strip,
    Kind.LOWER_CASE: str.lower,
    Kind.UPPER_CASE: str.upper,
    Kind.COLLAPSE_SPACE: lambda text: _SPACE.sub(" ", text),
}
"""Each normalization as a function; applying one twice changes nothing more."""

FIELDS = ("properties", "tags", "display_name")
"""The fields whose values can be normalized."""
