"""The state machine of machine requests: every event in every state, with nothing, some and all there."""

from dataclasses import replace

import pytest

from services.provider.fulfilment import MOVES, Event, Share, after, apply, share
from services.provider.requests import MachineRequest, RequestKind
from services.provider.requests import RequestState as S

NOTHING_FOLLOWS = (S.COMPLETE, S.PARTIAL, S.FAILED, S.CANCELED, S.TIMED_OUT)
ENDS = set(NOTHING_FOLLOWS)
ALLOWED = {
    S.PENDING: {S.IN_PROGRESS, S.ACQUIRING, S.PARTIAL_PENDING, *ENDS} - {S.TIMED_OUT},
    S.IN_PROGRESS: {S.ACQUIRING, S.PARTIAL_PENDING, *ENDS},
    S.ACQUIRING: {S.PARTIAL_PENDING, *ENDS},
    S.PARTIAL_PENDING: ENDS,
    **{state: set() for state in NOTHING_FOLLOWS},
}
"""The comment of MachineRequest.State in the contract, word for word."""

VERDICT = {Share.NONE: S.FAILED, Share.SOME: S.PARTIAL, Share.ALL: S.COMPLETE}
AT_DEADLINE = {Share.NONE: S.TIMED_OUT, Share.SOME: S.PARTIAL, Share.ALL: S.COMPLETE}


def expected(state: S, event: Event, much: Share) -> S:
    """The table of the README, written once more and differently."""
    if state in ENDS:
        return state
    if event is Event.CANCEL:
        return S.CANCELED
    if event is Event.VERDICT:
        return VERDICT[much]
    if event is Event.DEADLINE:
        return state if state is S.PENDING else AT_DEADLINE[much]
    if event is Event.PROGRESS:
        return {Share.NONE: state, Share.SOME: S.PARTIAL_PENDING, Share.ALL: S.COMPLETE}[much]
    if event is Event.START:
        return S.IN_PROGRESS if state is S.PENDING else state
    assert event is Event.ACCEPT
    return S.ACQUIRING if state in (S.PENDING, S.IN_PROGRESS) else state


def request(state: S = S.PENDING, much: Share = Share.NONE) -> MachineRequest:
    fulfilled = {Share.NONE: 0, Share.SOME: 2, Share.ALL: 5}[much]
    return MachineRequest(
        tenant="t",
        name="machineRequests/r",
        uid="u",
        kind=RequestKind.ACQUIRE,
        count=5,
        state=state,
        fulfilled=fulfilled,
        timeout=60.0,
    )


@pytest.mark.parametrize("much", list(Share))
@pytest.mark.parametrize("event", list(Event))
@pytest.mark.parametrize("state", list(S))
def test_every_event_in_every_state(state: S, event: Event, much: Share) -> None:
    begun = request(state, much)
    assert share(begun) is much
    moved = apply(begun, event, 100.0, "because")
    assert moved.state is expected(state, event, much) is after(state, event, much)
    assert moved.state is state or moved.state in ALLOWED[state]
    if moved.state is state:
        assert moved is begun, "an event that changes nothing leaves no trace"
        return
    assert moved.state_reason == "because"
    assert (moved.transitions[-1].state, moved.transitions[-1].time) == (moved.state, 100.0)
    assert moved.end_time == (100.0 if moved.state.ended else None)
    if state is S.PENDING:
        assert (moved.start_time, moved.deadline_time) == (100.0, 160.0)


def test_every_allowed_move_can_be_reached() -> None:
    reached: dict[S, set[S]] = {state: set() for state in S}
    for (state, _, _), then in MOVES.items():
        reached[state].add(then)
    assert reached == ALLOWED


def test_no_move_leaves_an_end_and_every_end_is_told() -> None:
    assert {state for state, _, _ in MOVES}.isdisjoint(ENDS)
    assert {state for state in S if state.ended} == ENDS


def test_the_deadline_is_set_once() -> None:
    begun = apply(request(), Event.START, 100.0)
    later = apply(replace(begun, fulfilled=1), Event.PROGRESS, 130.0)
    assert (later.start_time, later.deadline_time) == (100.0, 160.0)


def test_more_than_asked_for_is_all() -> None:
    assert share(replace(request(), fulfilled=6)) is Share.ALL


def test_of_nothing_all_is_there() -> None:
    assert apply(replace(request(), count=0), Event.VERDICT, 1.0).state is S.COMPLETE
