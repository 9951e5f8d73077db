"""Adds data and context to events and tasks that were read without them, as far as one answer holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import orjson
from sutler.paging import MAX_PAGE_BYTES
from sutler.store import Transaction

from services.rule.adapters.database.inserting import chunks
from services.rule.events import Event
from services.rule.tasks import Task
from services.rule.values import ABSENT


def with_bodies(tx: Transaction, events: Sequence[Event]) -> list[Event]:
    """Returns events with their data, from the first on; at least one, and no more than one answer holds."""
    found: list[Event] = []
    left = MAX_PAGE_BYTES
    for chunk in chunks(events):
        marks = ", ".join("?" * len(chunk))
        seqs = [event.seq for event in chunk]
        rows = tx.all(
            "SELECT seq, COALESCE(LENGTH(data), 0) + COALESCE(LENGTH(binary_data), 0) + LENGTH(extra) FROM events"
            f" WHERE seq IN ({marks})",
            seqs,
        )
        sizes: dict[int, int] = {row[0]: row[1] for row in rows}
        fits = 0
        for seq in seqs:
            left -= sizes.get(seq, 0)
            if left < 0 and (found or fits):
                break
            fits += 1
        found += _read(tx, chunk[:fits])
        if fits < len(chunk):
            break
    return found


def with_data(tx: Transaction, tasks: Sequence[Task]) -> list[Task]:
    """Returns tasks with their data, from the first on; at least one, and no more than one answer holds."""
    found: list[Task] = []
    left = MAX_PAGE_BYTES
    for task in tasks:
        row = tx.one("SELECT data FROM tasks WHERE seq = ?", (task.seq,))
        text = row[0] if row else None
        left -= len(text or "")
        if found and left < 0:
            break
        found.append(task if text is None else replace(task, data=orjson.loads(text)))
    return found


def _read(tx: Transaction, events: Sequence[Event]) -> list[Event]:
    marks = ", ".join("?" * len(events))
    rows = tx.all(
        f"SELECT seq, data, binary_data, extra FROM events WHERE seq IN ({marks})", [event.seq for event in events]
    )
    bodies = {row[0]: row[1:] for row in rows}
    full = []
    for event in events:
        data, binary, extra = bodies[event.seq]
        content = replace(
            event.content,
            data=ABSENT if data is None else orjson.loads(data),
            binary=binary,
            extra=orjson.loads(extra),
        )
        full.append(replace(event, content=content))
    return full
