"""Several errors told as one: contracts promise all violations of the stage that fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from sutler.errors import Invalid, SutlerError, Violation, invalid_fields
from sutler.validation import MAX_VIOLATIONS

E = TypeVar("E", bound=SutlerError)

WRONG_FIELD = "FIELD_INVALID"
"""The reason that says least."""


def together(errors: Sequence[E], first: E | None = None) -> E:
    """Returns one of some errors, the first if none is given, with the violations of all that have its code."""
    told = errors[0] if first is None else first
    violations = [violation for error in errors if error.code == told.code for violation in error.violations]
    if len(violations) > len(told.violations):
        told.more = len(violations) - 1
        told.metadata["violations"] = str(len(violations))
        told.violations = tuple(violations[:MAX_VIOLATIONS])
    return told


class Problems:
    """Gathers all that is wrong with a request.

    Attributes:
        errors: What was found, in order.
    """

    def __init__(self) -> None:
        self.errors: list[Invalid] = []

    def add(self, field: str, description: str, reason: str) -> None:
        """Takes note of a wrong field."""
        self.errors.append(invalid_fields([Violation(field, description, reason)]))

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Takes note of an error instead of raising it."""
        try:
            yield
        except Invalid as error:
            self.errors.append(error)

    def tell(self) -> None:
        """Tells all at once.

        Raises:
            Invalid: With all violations in order. An error with a reason of its own, such as EXPRESSION_INVALID, says
                more than a wrong field, so the first of these gives reason and message.
        """
        if self.errors:
            raise together(self.errors, next((error for error in self.errors if error.reason != WRONG_FIELD), None))
