"""Puts documents in order: each after those that it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from sutler.errors import Violation, invalid_fields
from sutler.fields import is_map


class Named(Protocol):
    """What is put in order."""

    @property
    def name(self) -> str:
        """The resource name."""
        ...

    @property
    def message(self) -> Message:
        """The thing."""
        ...

    @property
    def place(self) -> str:
        """Where it stands, ``file:line``."""
        ...


N = TypeVar("N", bound=Named)


def in_order(documents: Sequence[N]) -> list[N]:
    """Returns documents so that each comes after those that it refers to; else as they were written.

    Raises:
        Invalid: If they refer to each other in a circle, or a name stands twice.
    """
    by_resource = {document.name: document for document in documents}
    if len(by_resource) < len(documents):
        twice = sorted({d.name for d in documents if [x.name for x in documents].count(d.name) > 1})
        raise invalid_fields([Violation(name, "stands in two documents") for name in twice])
    done: dict[str, N] = {}
    path: list[str] = []

    def visit(document: N) -> None:
        if document.name in done:
            return
        if document.name in path:
            circle = " → ".join([*path[path.index(document.name) :], document.name])
            raise invalid_fields([Violation(document.place, f"refers to itself: {circle}")])
        path.append(document.name)
        for name in sorted(references(document.message)):
            if name in by_resource and name != document.name:
                visit(by_resource[name])
        path.pop()
        done[document.name] = document

    for document in documents:
        visit(document)
    return list(done.values())


def references(message: Message) -> set[str]:
    """Returns the names that a message refers to: its parents, and any text that may be one."""
    found: set[str] = set()
    for field, value in message.ListFields():
        if field.name == "name" and isinstance(value, str):
            parts = value.split("/")
            found |= {"/".join(parts[:length]) for length in range(2, len(parts))}
        elif isinstance(value, str):
            found.add(value)
            if field.name == "type":
                found.add(f"resourceTypes/{value.replace('/', '.')}")
        elif isinstance(value, Message):
            found |= references(value)
        elif field.is_repeated:
            for item in value.values() if is_map(field) else value:
                found |= references(item) if isinstance(item, Message) else {item} if isinstance(item, str) else set()
    return found
