"""What is made with much work is kept while it is used, whichever threads use it."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.resource.recent import Recent


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads that take turns after every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_what_was_used_longest_ago_goes() -> None:
    made: list[str] = []
    recent: Recent[str, str] = Recent(2)

    def get(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())  # type: ignore[func-returns-value]

    assert [get(key) for key in "abacab"] == ["A", "B", "A", "C", "A", "B"]
    assert made == ["a", "b", "c", "b"]


def test_few_heavy_things_are_kept() -> None:
    made: list[int] = []
    recent: Recent[int, int] = Recent(10, 5, lambda weight: weight)

    def get(key: int) -> int:
        return recent.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    assert [get(key) for key in (2, 3, 2, 4, 3, 2, 9, 9)] == [2, 3, 2, 4, 3, 2, 9, 9]
    assert made == [2, 3, 4, 3, 2, 9]


def test_nothing_at_all_is_kept_too() -> None:
    recent: Recent[str, None] = Recent(1)
    recent.get("a", lambda: None)
    recent.get("a", lambda: pytest.fail("made again"))


@pytest.mark.usefixtures("impatient")
def test_many_threads_use_it_at_once() -> None:
    recent: Recent[int, int] = Recent(3)

    def use(thread: int) -> bool:
        return all(recent.get(key % 7, lambda key=key: key % 7) == key % 7 for key in range(thread, thread + 5000))  # type: ignore[misc]

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(use, range(4)))
