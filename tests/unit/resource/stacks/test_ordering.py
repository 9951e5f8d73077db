"""The order of members: after what they need, otherwise as declared; and cycles."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import Invalid

from services.resource.stacks.ordering import ordered


def test_what_needs_nothing_stays_in_its_order() -> None:
    assert ordered({"c": [], "a": [], "b": []}) == ["c", "a", "b"]


def test_what_is_needed_comes_first() -> None:
    assert ordered({"a": ["b", "c"], "b": ["d"], "c": [], "d": [], "e": ["a"]}) == ["c", "d", "b", "a", "e"]


@given(st.lists(st.lists(st.integers(0, 19), max_size=5), max_size=20), st.randoms())
def test_every_order_fits(needs: list[list[int]], chance: random.Random) -> None:
    """Each may need those with smaller numbers only, so there is no cycle; they are declared in any order."""
    ids = list(range(len(needs)))
    chance.shuffle(ids)
    graph = {str(id): [str(other) for other in needs[id] if other < id] for id in ids}
    found = ordered(graph)
    assert sorted(found) == sorted(graph)
    places = {id: place for place, id in enumerate(found)}
    assert all(places[other] < places[id] for id in graph for other in graph[id])


@pytest.mark.parametrize(
    ("needs", "cycle"),
    [
        ({"a": ["a"]}, "a, a"),
        ({"a": ["b"], "b": ["a"]}, "a, b, a"),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, "a, b, c, a"),
    ],
)
def test_a_cycle_is_told(needs: dict[str, list[str]], cycle: str) -> None:
    with pytest.raises(Invalid) as caught:
        ordered(needs)
    assert caught.value.reason == "REFERENCE_CYCLE"
    told = caught.value.metadata["cycle"].split(", ")
    assert told[0] == told[-1] and sorted(told[1:]) == sorted(cycle.split(", ")[1:])
    assert all(other in needs[one] for one, other in pairwise(told))
