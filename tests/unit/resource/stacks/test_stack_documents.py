"""Stacks as documents and messages: nothing is lost on the way, and the numbers are those of the contract."""

from dataclasses import replace
from enum import IntEnum

import pytest
from sutler.errors import Invalid
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status
from sutler.type.v1.operation_pb2 import PlannedStep
from sutler.wire import to_struct

from services.resource.problems import Problem
from services.resource.resource import Lock
from services.resource.stacks import documents
from services.resource.stacks.failures import member_failed, short, undo_incomplete, with_effects
from services.resource.stacks.merging import Applied
from services.resource.stacks.stack import (
    Action,
    Became,
    FailurePolicy,
    Member,
    MemberState,
    Stack,
    StackState,
    Template,
    lifts,
)
from services.resource.wire.stacks import MAX_BYTES, to_message, to_template

WHY = Problem(9, "HANDLER_FAILED", "no room", {"resource": "r"}, (("f", "d", "R"),), 1.5)
MEMBER = Member(
    "a",
    "Custom.Org/servers",
    "v1",
    "web",
    "${members.g.name}",
    "Web",
    {"size": 1, "none": None},
    {"t": "1"},
    "locations/l",
    Lock.READ_ONLY,
    ("b",),
    True,
    ("subscriptions/x",),
    1700000000.5,
)
TEMPLATE = Template("Shop", "subscriptions/s", (MEMBER, Member("b", "C.O/x")), {"p": 1}, FailurePolicy.KEEP, {"o": "x"})
STATE = MemberState(
    "a",
    "subscriptions/s/x",
    Action.UPDATE,
    Became.FAILED,
    WHY,
    "resourceOperations/o",
    "u",
    True,
    True,
    ("subscriptions/y",),
    Applied({"size": None, "net": {"dns": None}}, ("t",), ("subscriptions/x",), ("location",), Lock.READ_ONLY),
    True,
    True,
    1.0,
    2.0,
    3,
)
STACK = Stack(
    "t", "stacks/shop", "uid", TEMPLATE, (STATE,), {"o": 1}, StackState.FAILED, WHY, "o", "anna", "ben", 1.5, 2.5, 7
)


def test_documents_lose_nothing() -> None:
    whole = replace(STACK, member_states=(STATE, MemberState("a", "r", Action.CREATE)))
    states = [documents.state_document(state) for state in whole.member_states]
    assert documents.from_document("t", documents.document(whole), states) == whole


@pytest.mark.parametrize(
    ("stored", "lock"),
    [
        ({"locks": True}, Lock.READ_ONLY),
        ({"locks": True, "member": "b"}, Lock.UNSPECIFIED),
        ({"locks": True, "member": "left"}, Lock.UNSPECIFIED),
        ({}, Lock.UNSPECIFIED),
    ],
)
def test_the_lock_that_a_stack_set_in_an_earlier_release_is_that_of_its_template(
    stored: dict[str, object], lock: Lock
) -> None:
    state = documents.state_document(STATE) | stored
    del state["applied"]["lock"]
    state["applied"]["fields"] = ["lock"]
    (found,) = documents.from_document("t", documents.document(STACK), [state]).member_states
    assert found.applied is not None and found.applied.lock is lock
    assert lifts([found]) == ({"u": lock} if lock else {})


def test_messages_declare_what_they_show() -> None:
    assert to_template(to_message(STACK)) == TEMPLATE


@pytest.mark.parametrize(
    ("mine", "theirs", "prefix"),
    [
        (StackState, pb.Stack.State, "STATE_"),
        (FailurePolicy, pb.Stack.FailurePolicy, "FAILURE_POLICY_"),
        (Became, pb.StackMemberState.State, "STATE_"),
        (Action, PlannedStep.Action, "ACTION_"),
    ],
)
def test_numbers_are_those_of_the_contract(mine: type[IntEnum], theirs: object, prefix: str) -> None:
    contract = {name.removeprefix(prefix): number for name, number in theirs.items()}  # type: ignore[attr-defined]
    assert {each.name: int(each) for each in mine} | {"UNSPECIFIED": 0} == contract


def test_a_stack_that_would_be_too_large_tells_less_of_its_errors() -> None:
    """As large as it may be, with as many members as may be, each of which failed."""
    error = short(Problem(9, "HANDLER_FAILED", "x" * 5000, {f"k{i}": "y" * 500 for i in range(50)}))
    states = tuple(
        MemberState(f"m{index}", f"subscriptions/{index}", Action.CREATE, Became.FAILED, error) for index in range(1000)
    )
    template = Template(parameters={"x": "y" * 1_000_000, "z": "y" * 2_000_000})
    message = to_message(Stack("t", "stacks/a", "u", template, states, state=StackState.FAILED, error=WHY))
    assert message.ByteSize() < MAX_BYTES
    assert {state.error.code for state in message.member_states} == {9}
    few = to_message(Stack("t", "stacks/a", "u", Template(), states[:10], state=StackState.FAILED, error=WHY))
    assert {from_status(state.error).reason for state in few.member_states} == {"HANDLER_FAILED"}


@pytest.mark.parametrize("field", ["members", "output_values"])
def test_sizes(field: str) -> None:
    big = to_struct({"x": "y" * 1_000_000})
    message = pb.Stack(members=[pb.StackMember(id=f"m{i}", properties=big) for i in range(3)])
    if field == "output_values":
        message = pb.Stack(output_values=big)
    with pytest.raises(Invalid) as caught:
        to_template(message)
    assert (caught.value.reason, caught.value.metadata["field"]) == ("TOO_LARGE", f"stack.{field}")


def test_errors_have_the_metadata_of_the_contract() -> None:
    failed = with_effects(member_failed("stacks/shop", "net", WHY), undone=3, changed=0)
    assert (failed.code, failed.reason, failed.retry_after) == (9, "STACK_MEMBER_FAILED", 1.5)
    expected = {"stack": "stacks/shop", "member": "net", "cause": "HANDLER_FAILED", "undone": "3"}
    assert expected.items() <= failed.metadata.items()
    incomplete = undo_incomplete("stacks/shop", failed, 2)
    assert (incomplete.code, incomplete.reason) == (10, "UNDO_INCOMPLETE")
    assert {"stack": "stacks/shop", "member": "net", "left": "2"}.items() <= incomplete.metadata.items()
