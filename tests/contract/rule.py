"""What a rule is: a small function over one kind of element that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tests.contract.descriptors import Contracts, Element

E = TypeVar("E", bound=Element)


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with one element."""

    rule: str
    element: str
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """Reads as one line that names the element and the rule."""
        return f"{self.file}:{self.line}: {self.element}: {self.text} [{self.rule}]"


@dataclass(frozen=True)
class Rule:
    """A rule; `name` is the name of its function and the key in the table of exceptions."""

    name: str
    text: str
    run: Callable[[Contracts], Iterator[Violation]]


def rules(over: Callable[[Contracts], Iterable[E]], *checks: Callable[[E, Contracts], Iterable[str]]) -> list[Rule]:
    """Makes rules of `checks`, each to be asked about every element that `over` walks."""
    return [make(over, check) for check in checks]


def make(over: Callable[[Contracts], Iterable[E]], check: Callable[[E, Contracts], Iterable[str]]) -> Rule:
    """Makes one rule."""

    def run(contracts: Contracts) -> Iterator[Violation]:
        for element in over(contracts):
            for text in check(element, contracts):
                yield Violation(check.__name__, element.full_name, element.file, element.line, text)

    return Rule(check.__name__, (check.__doc__ or "").strip(), run)
