"""Runs waiting changes in one transaction, and sees to it that each gets a true answer whatever fails."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from sutler.errors import SutlerError
from sutler.store.clock import Clock
from sutler.store.engine import Connection, Engine, OutcomeUnknownError
from sutler.store.scratch import Scratch
from sutler.store.transaction import Transaction, run_in

CAREFUL_BATCHES = 8
"""So many batches do not hurry after one that hurried in vain."""

WORK_SECONDS = 0.02
"""After this much work a batch commits, so that a slow change does not hold the others up for long."""


@dataclass(slots=True, eq=False)
class Change:
    """One change on its way.

    Attributes:
        fn: What it does.
        context: The context variables of the caller.
        result: What ``fn`` returned.
        error: Why it did not happen; None if it did.
    """

    fn: Callable[[Transaction], Any]
    context: Context
    result: Any = field(default=None, init=False)
    error: BaseException | None = field(default=None, init=False)


class Batches:
    """Commits changes together. One thread at a time uses it.

    A batch is begun, filled and finished. First it hurries: no change looks whether a key is free, nor marks where it
    starts. Where that proves wrong, nothing of the batch has happened, and it runs again with care. Where it breaks
    even then (the disk is full, the connection is gone), its changes run again, each in a transaction of its own, and
    only those fail that fail alone.

    Args:
        engine: Where connections come from.
        clock: The time of the changes.
    """

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.commits = 0
        self._engine = engine
        self._clock = clock
        self._connection: Connection | None = None
        self._scratch = Scratch()
        self._stands = False
        self._careful = 0

    def run(self, batch: list[Change], more: Callable[[], Change | None]) -> None:
        """Begins a batch when it is its turn, fills it and finishes it; the rest is as in :meth:`fill`."""
        try:
            self._begin(hurried=self._careful == 0)
        except Exception as error:
            # Whoever waits by now would wait for the same in vain.
            batch.extend(iter(more, None))
            _fail(batch, error)
            return
        self.fill(batch, more, WORK_SECONDS)
        self.finish(batch)

    def try_begin(self) -> bool:
        """Opens the transaction of a batch if that needs no waiting; returns whether it is open."""
        if self._connection is None:
            return False
        try:
            self._open(self._connection, hurried=self._careful == 0, patient=False)
        except Exception:
            self._connection.rollback()
            return False
        return True

    def fill(self, batch: list[Change], more: Callable[[], Change | None], seconds: float) -> None:
        """Applies changes until none waits or a bound is reached.

        Args:
            batch: The change to begin with; those that follow are added.
            more: Returns the next one that waits, or None.
            seconds: After this much work no other is begun.
        """
        deadline = time.monotonic() + seconds
        change: Change | None = batch[0]
        while change is not None:
            self._stands = self._apply(change)
            if not self._stands or len(batch) >= self._engine.max_batch or time.monotonic() > deadline:
                return
            change = more()
            if change is not None:
                batch.append(change)

    def finish(self, batch: list[Change]) -> None:
        """Commits a batch; then each of its changes has its result or its error."""
        if self._stands and self._commit(batch):
            self._careful = max(0, self._careful - 1)
            return
        if not (self._scratch.hurried and self._run_carefully(batch)):
            self._drop()
            self._run_singly(batch)

    def close(self) -> None:
        """Closes the connection."""
        self._drop()

    def _apply(self, change: Change) -> bool:
        """Runs one change; returns whether the transaction still stands."""
        connection, scratch = self._connection, self._scratch
        assert connection is not None
        change.error = None
        try:
            if not scratch.hurried:
                connection.savepoint()
            scratch.mark()
            change.result = change.context.run(run_in, connection, self._clock.now(), change.fn, scratch)
            if not scratch.hurried:
                scratch.flush(connection)
                connection.settle()
        except BaseException as error:
            change.error = error
            if not connection.in_transaction or (scratch.hurried and scratch.touched):
                return False
            try:
                if not scratch.hurried:
                    connection.undo()
                scratch.undo()
            except Exception:
                return False
        return True

    def _commit(self, batch: list[Change]) -> bool:
        """Commits if there is anything to commit; returns False if the changes certainly have not happened."""
        connection = self._connection
        assert connection is not None
        if all(change.error is not None for change in batch):
            connection.rollback()
            return True
        try:
            self._scratch.store(connection)
            connection.commit()
        except OutcomeUnknownError as unknown:
            # Also those that failed: they may have failed for what another change of the batch did.
            _fail(batch, unknown.error)
            self._drop()
            return True
        except Exception as error:
            _fail(batch, error)
            return False
        self.commits += 1
        return True

    def _run_carefully(self, batch: list[Change]) -> bool:
        """Runs a batch again that hurried in vain; returns whether each change has its result or its error."""
        self._careful = CAREFUL_BATCHES
        if self._connection is not None:
            self._connection.rollback()
        try:
            self._begin(hurried=False)
        except Exception as error:
            _fail(batch, error)
            return True
        return all(self._apply(change) for change in batch) and self._commit(batch)

    def _run_singly(self, batch: list[Change]) -> None:
        for index, change in enumerate(batch):
            try:
                self._begin(hurried=False)
            except Exception as error:
                _fail(batch[index:], error)
                return
            if not self._apply(change) or not self._commit([change]):
                self._drop()

    def _begin(self, *, hurried: bool) -> None:
        """Opens a transaction, on a new connection if the old one is lost."""
        if self._connection is not None:
            try:
                self._open(self._connection, hurried=hurried)
                return
            except Exception:
                lost = self._connection.lost
                self._drop()
                if not lost:
                    raise
        self._connection = self._engine.writer()
        try:
            self._open(self._connection, hurried=hurried)
        except Exception:
            self._drop()
            raise

    def _open(self, connection: Connection, *, hurried: bool, patient: bool = True) -> None:
        drawn, self._scratch = tuple(self._scratch.sequences), Scratch(hurried=hurried)
        connection.begin(patient=patient)
        self._scratch.load(connection, drawn)
        connection.settle()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _fail(changes: Iterable[Change], error: Exception) -> None:
    """Gives changes an error, each its own copy: raising adds to its traceback."""
    for change in changes:
        change.error = error
        change.result = None
        if isinstance(error, SutlerError):
            change.error = copy.copy(error)
            change.error.__cause__ = error.__cause__
