"""Stages of the checks of a stack: each tells all that it finds wrong, and of which member."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sutler.errors import Conflict, Invalid, SutlerError, Unavailable, Violation

from services.resource.proposals import PREFIX
from services.resource.telling import together


def field_of(index: int, name: str = "") -> str:
    """Returns where a member, or one of its fields, stands in the request."""
    return f"stack.members[{index}].{name}" if name else f"stack.members[{index}]"


class Stage:
    """One stage: goes on after an error, and raises what it found when it ends."""

    def __init__(self) -> None:
        self._members: list[tuple[int, str, SutlerError]] = []
        self._rest: list[SutlerError] = []

    @contextmanager
    def member(self, index: int, id: str, name: str = "") -> Iterator[None]:
        """Takes note of an error of one member.

        Args:
            index: Its place in the request.
            id: Its id.
            name: The field that is checked; empty if the error says so itself, or it is none in particular.
        """
        try:
            yield
        except SutlerError as error:
            told = _of_member(error, id, field_of(index), name)
            self._members.append((index, told.metadata["field"], told))

    @contextmanager
    def rest(self) -> Iterator[None]:
        """Takes note of an error that is of no member; it is told after those of members."""
        try:
            yield
        except SutlerError as error:
            self._rest.append(error)

    def end(self) -> None:
        """Ends the stage.

        Raises:
            SutlerError: The first error in the order of the request, with the violations of all of its code.
        """
        members = [error for *_, error in sorted(self._members, key=lambda found: found[:2])]
        if members or self._rest:
            raise together([*members, *self._rest])


def _of_member(error: SutlerError, id: str, where: str, name: str) -> SutlerError:
    """Returns an error with the member in its message and metadata, and with paths as they stand in the request."""
    error.violations = tuple(
        Violation(_moved(violation.field, where), violation.description, violation.reason)
        for violation in error.violations
    )
    at = error.violations[0].field if error.violations and isinstance(error, Invalid) else where
    at = _moved(error.metadata.get("field", f"{where}.{name}" if name else at), where)
    error.base = _moved(error.base, where)
    if not error.violations and not isinstance(error, Unavailable | Conflict):  # these say nothing of the request
        error.violations = (Violation(at, error.message.removeprefix(f"{at}: "), error.reason),)
    error.base = f"member {id}: {error.base}"
    error.metadata |= {"member": id, "field": at}
    return error


def _moved(text: str, where: str) -> str:
    """Returns a path, or a text that begins with one, as it stands in the request of a stack."""
    return re.sub(rf"^{PREFIX}(?=$|[.:])", where, text)
