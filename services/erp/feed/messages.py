"""Changes in parts that each fit into one message of a watch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from sutler.paging import MAX_PAGE_BYTES

from services.erp.feed.model import Change, FieldChange

Size = Callable[[Change], int]
"""Returns how many bytes a change takes on the wire."""

FRAME_BYTES = 8
"""What a message adds to each change: its tag and length."""

MAX_BYTES = MAX_PAGE_BYTES - 4096
"""How large the changes of one message are at the most; the rest of it is small."""


def messages(changes: Iterable[Change], size: Size) -> Iterator[list[Change]]:
    """Yields changes, in order, in as few parts as fit into a message of 3 MiB each.

    A change that alone is larger comes without the values in ``changes`` and, if it still is, without those of its
    record: else nobody could ever read on after it.
    """
    part: list[Change] = []
    total = 0
    for change in changes:
        fitting, needed = _cut(change, size)
        if part and total + needed > MAX_BYTES:
            yield part
            part, total = [], 0
        part.append(fitting)
        total += needed
    if part:
        yield part


def _cut(change: Change, size: Size) -> tuple[Change, int]:
    needed = size(change) + FRAME_BYTES
    if needed > MAX_BYTES:
        names = tuple(FieldChange(one.field, None, None, had=False, has=False) for one in change.changes)
        change = replace(change, changes=names)
        needed = size(change) + FRAME_BYTES
    if needed > MAX_BYTES:
        change = replace(change, record=replace(change.record, values={}))
        needed = size(change) + FRAME_BYTES
    return change, needed
