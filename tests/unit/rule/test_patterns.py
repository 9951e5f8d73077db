import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rule.matching import Entry, RuleIndex
from services.rule.patterns import Pattern, PatternMap, pattern_violation


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("order.*", "order.confirmed", True),
        ("order.*", "order.line.added", False),
        ("order.*", "order.", True),
        ("order.*", "order", False),
        ("order.**", "order.line.added", True),
        ("**", "anything.at.all", True),
        ("**", "", True),
        ("*", "a.b", False),
        ("*.added", "order.added", True),
        ("**.added", "order.line.added", True),
        ("or*er.*", "order.x", True),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.b.c", False),
        ("a+b", "a+b", True),
        ("a+b*", "aab", False),
        ("Order.*", "order.x", False),
        ("ü*", "über", True),
    ],
)
def test_stars_stand_for_what_the_contract_says(pattern: str, text: str, matches: bool) -> None:
    assert Pattern(pattern, ".").matches(text) is matches


def test_the_separator_of_subjects_is_the_slash() -> None:
    assert Pattern("order/*", "/").matches("order/a.b")
    assert not Pattern("order/*", "/").matches("order/a/b")


@pytest.mark.parametrize(("text", "wrong"), [("a.***", True), ("****", True), ("a.**.*", False), ("a", False)])
def test_three_stars_are_refused(text: str, wrong: bool) -> None:
    assert (pattern_violation(text, "on[0]") is not None) is wrong


def test_a_hostile_pattern_matches_in_no_time() -> None:
    pattern = Pattern("*a" * 120 + "b", ".")
    started = time.process_time()
    assert not pattern.matches("a" * 256)
    assert time.process_time() - started < 1


TEXTS = st.text("ab.*", max_size=8)


def naive(pattern: str, text: str) -> bool:
    parts = re.split(r"(\*\*|\*)", pattern)
    regex = "".join({"**": ".*", "*": "[^.]*"}.get(part, re.escape(part)) for part in parts)
    return re.fullmatch(regex, text, re.DOTALL) is not None


@given(st.lists(TEXTS.filter(lambda t: "***" not in t), max_size=12), TEXTS)
def test_a_map_finds_exactly_the_patterns_that_match(patterns: list[str], text: str) -> None:
    found: PatternMap[list[str]] = PatternMap(".", list)
    for pattern in patterns:
        found.slot(pattern)
    assert sorted(pattern for pattern, _ in found.find(text)) == sorted({p for p in patterns if naive(p, text)})
    for pattern in patterns[::2]:
        found.discard(pattern)
    assert {p for p, _ in found.find(text)} == {p for p in patterns if naive(p, text)} - set(patterns[::2])


def entry(uid: str, *on: str, subject: str = "", priority: int = 0) -> Entry:
    return Entry(uid, f"rules/{uid}", 1, priority, on, subject)


def test_an_index_gives_each_rule_once_by_priority() -> None:
    index = RuleIndex()
    index.put(entry("low", "a.*", "a.b", "**"))
    index.put(entry("high", "a.b", priority=5))
    index.put(entry("no", "a.c"))
    assert [e.uid for e in index.match("a.b", "")] == ["high", "low"]


def test_a_subject_pattern_needs_a_subject() -> None:
    index = RuleIndex()
    index.put(entry("one", "a", subject="order/*"))
    index.put(entry("any", "a"))
    assert [e.uid for e in index.match("a", "order/1")] == ["any", "one"]
    assert [e.uid for e in index.match("a", "")] == ["any"]
    assert [e.uid for e in index.match("a", "other/1")] == ["any"]


def test_a_new_revision_takes_the_place_of_the_old_one() -> None:
    index = RuleIndex()
    index.put(entry("r", "a", "b.*", subject="s/*"))
    index.put(entry("r", "c"))
    assert not index.match("a", "s/1")
    assert not index.match("b.x", "s/1")
    assert [e.on for e in index.match("c", "")] == [("c",)]
    index.remove("r")
    index.remove("r")
    assert not index.match("c", "")
    assert len(index) == 0


def test_matching_does_not_slow_down_with_the_number_of_rules() -> None:
    def seconds(count: int) -> float:
        index = RuleIndex()
        for n in range(count):
            index.put(entry(f"e{n}", f"order.t{n}"))
            index.put(entry(f"g{n}", f"kind{n}.*", subject=f"thing{n}/*"))
            index.put(entry(f"s{n}", "order.hot", subject=f"order/{n}/*"))
        index.match("order.hot", "order/5/x")
        best = float("inf")
        for _ in range(20):
            started = time.process_time()
            for _ in range(20):
                assert len(index.match("order.hot", "order/5/x")) == 1
            best = min(best, time.process_time() - started)
        return best

    assert seconds(20_000) < 10 * seconds(200)
