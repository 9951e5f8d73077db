"""Several errors told as one: contracts promise all violations of the stage that fails."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sutler.errors import Invalid, SutlerError
from sutler.validation import MAX_VIOLATIONS

_MORE = re.compile(r" \(and \d+ more\)$")


class Findings:
    """Collects what is wrong with a request, in the order in which it is to be told."""

    def __init__(self) -> None:
        self.errors: list[Invalid] = []

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Takes note of an error instead of raising it."""
        try:
            yield
        except Invalid as error:
            self.errors.append(error)

    def end(self) -> None:
        """Raises what was noted, if anything was.

        Raises:
            Invalid: The first error with the violations of all.
        """
        if self.errors:
            raise together(self.errors)


def together(errors: Sequence[SutlerError]) -> SutlerError:
    """Returns the first of some errors, with the violations of all that have its code."""
    first = errors[0]
    violations = [violation for error in errors if error.code == first.code for violation in error.violations]
    if len(violations) > len(first.violations):
        first.message = f"{_MORE.sub('', first.message)} (and {len(violations) - 1} more)"
        first.metadata["violations"] = str(len(violations))
        first.violations = tuple(violations[:MAX_VIOLATIONS])
    return first
