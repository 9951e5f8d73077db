"""Several errors told as one: contracts promise all violations of the stage that fails."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sutler.errors import SutlerError
from sutler.validation import MAX_VIOLATIONS

_MORE = re.compile(r" \(and \d+ more\)$")


def together(errors: Sequence[SutlerError]) -> SutlerError:
    """Returns the first of some errors, with the violations of all that have its code."""
    first = errors[0]
    violations = [violation for error in errors if error.code == first.code for violation in error.violations]
    if len(violations) > len(first.violations):
        first.message = f"{_MORE.sub('', first.message)} (and {len(violations) - 1} more)"
        first.metadata["violations"] = str(len(violations))
        first.violations = tuple(violations[:MAX_VIOLATIONS])
    return first
