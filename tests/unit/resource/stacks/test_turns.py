"""Whose turn it is in a run, and what an ended operation leads to."""

from dataclasses import replace

import pytest

from services.resource.problems import Problem
from services.resource.resource import Declared, Resource
from services.resource.stacks import turns
from services.resource.stacks.settling import failed, gone, settled
from services.resource.stacks.stack import Action, Became, MemberState
from services.resource.states import State

WHY = Problem(9, "HANDLER_FAILED", "no room")


def state(id: str, became: Became = Became.WAITING, *needs: str, **fields: object) -> MemberState:
    needed = tuple(f"subscriptions/{other}" for other in needs)
    return MemberState(id, f"subscriptions/{id}", Action.CREATE, became, needs=needed, **fields)  # type: ignore[arg-type]


def by_key(*found: MemberState) -> dict[str, MemberState]:
    return {each.key: each for each in found}


def ids(found: list[MemberState]) -> list[str]:
    return [each.member for each in found]


def test_members_begin_when_what_they_need_is_there() -> None:
    states = by_key(
        state("a", Became.SUCCEEDED),
        state("b", Became.RUNNING, "a"),
        state("c", Became.WAITING, "a"),
        state("d", Became.WAITING, "a", "b"),
        state("e", Became.WAITING, "gone"),
    )
    assert ids(turns.to_apply(states)) == ["c", "e"]
    assert ids(turns.running(states)) == ["b"] and not turns.is_applied(states)


def test_what_is_needed_leaves_last() -> None:
    left = {"left": True, "uid": "u"}
    states = by_key(
        state("a", Became.WAITING, **left),
        state("b", Became.RUNNING, "a", **left),
        state("c", Became.WAITING, **left),
        replace(state("d", Became.WAITING, **left), resource="subscriptions/c/resourceGroups/d"),
        state("e", Became.SUCCEEDED, "a"),
    )
    assert ids(turns.to_remove(states)) == ["d"]
    states["subscriptions/b"] = gone(states["subscriptions/b"], undoes=False)
    assert ids(turns.to_remove(states)) == ["a", "d"] and not turns.is_removed(states)


def test_what_was_created_is_undone_in_reverse() -> None:
    created = {"created": True, "uid": "u"}
    states = by_key(
        state("a", Became.SUCCEEDED, **created),
        state("b", Became.FAILED, "a", **created),
        state("c", Became.SUCCEEDED, "a", uid="u"),
        state("d", Became.SKIPPED, "b"),
    )
    assert ids(turns.to_undo(states)) == ["b"]
    states["subscriptions/b"] = gone(replace(states["subscriptions/b"], error=WHY), undoes=True)
    assert states["subscriptions/b"].became is Became.FAILED
    assert ids(turns.to_undo(states)) == ["a"]
    states["subscriptions/a"] = failed(states["subscriptions/a"], WHY, undoes=True)
    assert turns.to_undo(states) == [] and ids(turns.created(states)) == ["a"]


def test_what_is_undone_is_told_from_what_failed() -> None:
    cancelled = replace(WHY, reason="CANCELLED")
    ends = [gone(state("a", created=True, uid="u", error=why), undoes=True) for why in (None, cancelled, WHY)]
    assert [end.became for end in ends] == [Became.UNDONE, Became.UNDONE, Became.FAILED]
    assert {end.uid for end in ends} == {""}


class Forgotten:
    """A view in which no operation is kept any more."""

    def __init__(self, resource: Resource | None) -> None:
        self._resource = resource

    def operation(self, name: str) -> None:
        return None

    def resource(self, name: str) -> Resource | None:
        return self._resource


@pytest.mark.parametrize(
    ("uid", "there", "removes", "became"),
    [
        ("u", State.SUCCEEDED, False, Became.SUCCEEDED),
        ("u", State.FAILED, False, Became.FAILED),
        ("", None, False, Became.FAILED),
        ("u", State.FAILED, True, Became.FAILED),
        ("other", State.SUCCEEDED, True, Became.DELETED),
        ("", None, True, Became.DELETED),
    ],
)
def test_an_operation_that_is_forgotten(uid: str, there: State | None, removes: bool, became: Became) -> None:
    """What is there decides."""
    error = WHY if there is State.FAILED else None
    resource = Resource("t", "subscriptions/a", uid, "T", Declared(), state=there, error=error) if there else None
    begun = state("a", Became.RUNNING, uid="u", operation="resourceOperations/o")
    ended = settled(Forgotten(resource), begun, removes=removes, undoes=False)  # type: ignore[arg-type]
    assert ended.became is became
    assert (ended.error is not None) == (became is Became.FAILED)
