"""What becomes of changes when a connection fails at any of its steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any, cast

import pytest
from sutler.errors import Unavailable
from sutler.store.batch import CAREFUL_BATCHES, Batches, Change
from sutler.store.clock import Clock
from sutler.store.engine import ConstraintError, Dialect, Engine, OutcomeUnknownError, Params, Row
from sutler.store.failures import outcome_unknown, unavailable

STEPS = ("connect", "begin", "savepoint", "run", "undo", "commit", "commit unknown")


class Table:
    """A list of words, with connections that follow a script of failures."""

    dialect: Dialect = "sqlite"
    max_batch = 10

    def __init__(self, *failures: tuple[str, int]) -> None:
        self.words: list[str] = []
        self.failures = set(failures)
        self.counts: dict[str, int] = {}

    def step(self, name: str) -> bool:
        """Counts a step; returns whether it must fail."""
        number = self.counts.get(name, 0)
        self.counts[name] = number + 1
        return (name, number) in self.failures

    def writer(self) -> Scripted:
        if self.step("connect"):
            raise unavailable("no connection")
        return Scripted(self)


class Scripted:
    """One connection; a failure loses it, as a network does."""

    dialect: Dialect = "sqlite"

    def __init__(self, table: Table) -> None:
        self._table = table
        self._words: list[str] | None = None
        self._mark = 0
        self.lost = False

    @property
    def in_transaction(self) -> bool:
        return self._words is not None

    def _fail_if(self, name: str) -> None:
        if self._table.step(name):
            self.lost, self._words = True, None
            raise unavailable(f"lost at {name}")

    def begin(self, *, patient: bool = True) -> None:
        assert not self.lost
        self._fail_if("begin")
        assert self._words is None
        self._words = list(self._table.words)

    def begin_read(self) -> None:
        raise AssertionError

    def look_up(self, sql: str, params: Params) -> Row | None:
        raise AssertionError

    def savepoint(self) -> None:
        self._fail_if("savepoint")
        assert self._words is not None
        self._mark = len(self._words)

    def undo(self) -> None:
        self._fail_if("undo")
        assert self._words is not None
        del self._words[self._mark :]

    def commit(self) -> None:
        assert self._words is not None
        if self._table.step("commit unknown"):
            self._table.words = self._words
            self.lost, self._words = True, None
            raise OutcomeUnknownError(outcome_unknown())
        self._fail_if("commit")
        self._table.words, self._words = self._words, None

    def rollback(self) -> None:
        self._words = None

    def close(self) -> None:
        self._words = None

    def execute(self, sql: str, params: Params) -> int:
        self._fail_if("run")
        assert self._words is not None
        self._words.append(sql)
        return len(self._words)

    def insert(self, table: str, columns: str, rows: Sequence[Params]) -> None:
        for (text,) in rows:
            assert self._words is not None
            if text in self._words:
                raise ConstraintError
            self._words.append(str(text))

    def send(self, sql: str, params: Params) -> None:
        raise AssertionError

    def settle(self) -> None:
        assert self._words is not None
        if self._table.step("settle"):
            raise unavailable("locked")

    def one(self, sql: str, params: Params) -> Row | None:
        raise AssertionError

    def all(self, sql: str, params: Params) -> list[Row]:
        raise AssertionError

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        raise AssertionError


@pytest.fixture(autouse=True)
def _one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sutler.store.batch.WORK_SECONDS", 60.0)


def batches_of(table: Table) -> Batches:
    return Batches(cast(Engine, table), Clock(itertools.count().__next__))


def run(table: Table, *fns: Any, batches: Batches | None = None) -> list[Change]:
    changes = [Change(fn, copy_context()) for fn in fns]
    waiting = iter(changes)
    batches = batches or batches_of(table)
    first = next(waiting)
    while True:
        batches.run([first], lambda: next(waiting, None))
        following = next(waiting, None)
        if following is None:
            return changes
        first = following


def word(text: str) -> Any:
    return lambda tx: tx.execute(text)


def refuses(tx: Any) -> None:
    tx.execute("refused")
    raise KeyError


def new(text: str, hurries: list[bool] | None = None) -> Any:
    def insert(tx: Any) -> None:
        if hurries is not None:
            hurries.append(tx.hurried)
        if not tx.hurried and text == "taken":
            raise KeyError(text)
        tx.insert("words", "word", (text,))

    return insert


def gives_up(tx: Any) -> None:
    tx.insert("words", "word", ("given up",))
    raise KeyError


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("number", range(5))
def test_each_answer_is_true_whatever_fails(step: str, number: int) -> None:
    table = Table((step, number))
    a, refused, b, c = run(table, word("a"), refuses, word("b"), word("c"))
    assert isinstance(refused.error, KeyError | Unavailable)
    for change, text in ((a, "a"), (b, "b"), (c, "c")):
        if change.error is None:
            assert table.words.count(text) == 1
        else:
            assert isinstance(change.error, Unavailable)
            assert table.words.count(text) == 0 or step == "commit unknown"
    assert "refused" not in table.words
    assert table.words == sorted(table.words)


@pytest.mark.parametrize("step", ["savepoint", "run", "commit"])
def test_a_connection_that_is_lost_once_before_commit_harms_nobody(step: str) -> None:
    table = Table((step, 0))
    assert [change.error for change in run(table, word("a"), word("b"))] == [None, None]
    assert table.words == ["a", "b"]


def test_a_connection_that_was_lost_in_between_harms_nobody() -> None:
    table = Table(("begin", 1))
    batches = batches_of(table)
    changes = run(table, word("a"), batches=batches) + run(table, word("b"), word("c"), batches=batches)
    assert [change.error for change in changes] == [None, None, None]
    assert table.words == ["a", "b", "c"]
    assert table.counts["commit"] == 2


def test_an_unknown_outcome_is_told_to_all_and_nothing_is_repeated() -> None:
    table = Table(("commit unknown", 0))
    changes = run(table, word("a"), gives_up, word("b"))
    assert all(isinstance(change.error, Unavailable) for change in changes)
    assert len({id(change.error) for change in changes}) == 3
    assert table.words == ["a", "b"]


def test_who_waits_while_nothing_can_begin_is_not_kept_waiting() -> None:
    table = Table(("connect", 0))
    changes = run(table, *(word(str(n)) for n in range(25)))
    assert all(isinstance(change.error, Unavailable) for change in changes)
    assert table.counts == {"connect": 1}


def test_a_batch_is_bounded() -> None:
    table = Table()
    changes = run(table, *(word(str(n)) for n in range(25)))
    assert [change.error for change in changes] == [None] * 25
    assert table.counts["commit"] == 3


def test_what_was_inserted_in_vain_by_a_hurried_change_fails_alone() -> None:
    table, hurries = Table(), list[bool]()
    table.words = ["taken"]
    a, taken, b = run(table, new("a", hurries), new("taken"), new("b"))
    assert (a.error, b.error) == (None, None)
    assert isinstance(taken.error, KeyError)
    assert table.words == ["taken", "a", "b"]
    assert hurries == [True, False]
    assert table.counts["commit"] == 1


def test_a_hurried_change_that_fails_before_it_touched_anything_costs_the_others_nothing() -> None:
    table = Table()
    a, failed, b = run(table, new("a"), gives_up, new("b"))
    assert isinstance(failed.error, KeyError)
    assert (a.error, b.error) == (None, None)
    assert table.words == ["a", "b"]
    assert (table.counts["begin"], table.counts.get("savepoint")) == (1, None)


def test_after_a_vain_hurry_some_batches_are_careful() -> None:
    table, hurries = Table(), list[bool]()
    table.words = ["taken"]
    batches = batches_of(table)
    run(table, new("taken"), batches=batches)
    for number in range(CAREFUL_BATCHES + 2):
        run(table, new(str(number), hurries), batches=batches)
    assert hurries == [False] * CAREFUL_BATCHES + [True] * 2


def test_a_batch_that_cannot_begin_leaves_no_transaction_open() -> None:
    table = Table()
    batches = batches_of(table)
    run(table, word("a"), batches=batches)
    table.failures = {("settle", table.counts["settle"])}
    assert not batches.try_begin()
    assert [change.error for change in run(table, word("b"), batches=batches)] == [None]
    assert table.words == ["a", "b"]
