"""The one state machine of machine requests, and the only writer of their state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum

from services.provider.requests import MAX_TRANSITIONS, MachineRequest, RequestState, Transition
from services.provider.requests import RequestState as S


class Event(Enum):
    """What can happen to a machine request."""

    START = "start"
    """The provider is being called."""
    ACCEPT = "accept"
    """The provider has accepted it; machines are on their way."""
    PROGRESS = "progress"
    """Some machines have come, or have ended; more are expected."""
    VERDICT = "verdict"
    """Nothing more will come."""
    CANCEL = "cancel"
    """Somebody who may wants it to end."""
    DEADLINE = "deadline"
    """Its time is up."""


class Share(Enum):
    """How much of what was asked for is there."""

    NONE = "none"
    SOME = "some"
    ALL = "all"


def share(request: MachineRequest) -> Share:
    """Returns how much of a request is there; of a request for nothing, all is."""
    if request.fulfilled >= request.count:
        return Share.ALL
    return Share.SOME if request.fulfilled else Share.NONE


_CALLED = (S.PENDING, S.IN_PROGRESS, S.ACQUIRING)
_OPEN = (*_CALLED, S.PARTIAL_PENDING)

Moves = Mapping[tuple[S, Event, Share], S]


def _moves() -> Moves:
    moves: dict[tuple[S, Event, Share], S] = {}
    for much in Share:
        moves[S.PENDING, Event.START, much] = S.IN_PROGRESS
        moves[S.PENDING, Event.ACCEPT, much] = S.ACQUIRING
        moves[S.IN_PROGRESS, Event.ACCEPT, much] = S.ACQUIRING
        for state in _OPEN:
            moves[state, Event.CANCEL, much] = S.CANCELED
    for state in _CALLED:
        moves[state, Event.PROGRESS, Share.SOME] = S.PARTIAL_PENDING
    for state in _OPEN:
        moves[state, Event.PROGRESS, Share.ALL] = S.COMPLETE
        moves[state, Event.VERDICT, Share.ALL] = S.COMPLETE
        moves[state, Event.VERDICT, Share.SOME] = S.PARTIAL
        moves[state, Event.VERDICT, Share.NONE] = S.FAILED
    for state in (S.IN_PROGRESS, S.ACQUIRING, S.PARTIAL_PENDING):
        moves[state, Event.DEADLINE, Share.ALL] = S.COMPLETE
        moves[state, Event.DEADLINE, Share.SOME] = S.PARTIAL
        moves[state, Event.DEADLINE, Share.NONE] = S.TIMED_OUT
    return moves


MOVES: Moves = _moves()
"""Every move there is. An event that is not here changes nothing: a late one must not."""


def after(state: RequestState, event: Event, much: Share) -> RequestState:
    """Returns the state that follows."""
    return MOVES.get((state, event, much), state)


def apply(request: MachineRequest, event: Event, now: float, reason: str = "") -> MachineRequest:
    """Returns the request after an event; the same one if the event changes nothing.

    Args:
        request: The request, with its counts as they are now.
        event: What happened.
        now: Seconds since 1970.
        reason: Why, for people; kept only if the state changes.
    """
    state = after(request.state, event, share(request))
    if state is request.state:
        return request
    moved = replace(
        request,
        state=state,
        state_reason=reason,
        transitions=(*request.transitions, Transition(state, now, reason))[-MAX_TRANSITIONS:],
    )
    if request.state is S.PENDING:
        moved = replace(moved, start_time=now, deadline_time=now + request.timeout)
    if state.ended:
        return replace(moved, end_time=now, due_time=None)
    return moved
