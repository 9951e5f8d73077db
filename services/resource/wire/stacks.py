"""Stacks as messages, and messages as what they declare."""

from __future__ import annotations

from sutler.errors import Invalid, Violation
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct, seconds, timestamp, to_struct

from services.resource.resource import Lock
from services.resource.stacks.stack import FailurePolicy, Member, MemberState, Stack, StackState, Template
from services.resource.wire.resources import status

MAX_MEMBERS_BYTES = 2 * 1024 * 1024
MAX_OUTPUT_VALUES_BYTES = 64 * 1024
MAX_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""How large a stack is shown at the most, so that an operation with it fits into one message."""

ENDED_BADLY = (StackState.FAILED, StackState.CANCELED)


def to_message(stack: Stack) -> pb.Stack:
    """Returns a stack as the API shows it."""
    template = stack.template.public
    message = pb.Stack(
        name=stack.name,
        uid=stack.uid,
        etag=stack.etag if stack.revision else "",
        display_name=template.display_name,
        scope=template.scope,
        members=[_member_message(member) for member in template.members],
        parameters=to_struct(template.parameters),
        failure_policy=int(template.failure_policy),  # type: ignore[arg-type]
        output_values=to_struct(template.output_values),
        outputs=to_struct(stack.outputs),
        state=int(stack.state),  # type: ignore[arg-type]
        member_states=[_state_message(state) for state in stack.member_states],
        operation=stack.operation,
        creator=stack.creator,
        updater=stack.updater,
        create_time=timestamp(stack.create_time),
        update_time=timestamp(stack.update_time),
    )
    if stack.error is not None and stack.state in ENDED_BADLY:
        message.error.CopyFrom(status(stack.error))
    if message.ByteSize() > MAX_BYTES:
        for state in message.member_states:
            del state.error.details[:]
            state.error.message = state.error.message[:80]
    return message


def to_template(message: pb.Stack) -> Template:
    """Returns what a message declares.

    Raises:
        Invalid: If the members together, or the output values, are too large (TOO_LARGE).
    """
    _check_size("stack.members", sum(member.ByteSize() for member in message.members), MAX_MEMBERS_BYTES)
    _check_size("stack.output_values", message.output_values.ByteSize(), MAX_OUTPUT_VALUES_BYTES)
    return Template(
        display_name=message.display_name,
        scope=message.scope,
        members=tuple(map(_to_member, message.members)),
        parameters=from_struct(message.parameters),
        failure_policy=FailurePolicy(message.failure_policy),
        output_values=from_struct(message.output_values),
    )


def _check_size(field: str, size: int, most: int) -> None:
    if size > most:
        description = f"is {size} bytes, more than {most}"
        raise Invalid(
            f"{field} {description}",
            reason="TOO_LARGE",
            metadata={"field": field, "size": str(size), "limit": str(most)},
            violations=[Violation(field, description, "TOO_LARGE")],
        )


def _to_member(message: pb.StackMember) -> Member:
    return Member(
        id=message.id,
        type=message.type,
        type_version=message.type_version,
        resource_id=message.resource_id,
        parent=message.parent,
        display_name=message.display_name,
        properties=from_struct(message.properties),
        tags=dict(message.tags),
        location=message.location,
        lock=Lock(message.lock),
        dependencies=tuple(message.dependencies),
        keep=message.keep,
        references=tuple(message.references),
        expire_time=seconds(message.expire_time) if message.HasField("expire_time") else None,
    )


def _member_message(member: Member) -> pb.StackMember:
    message = pb.StackMember(
        id=member.id,
        type=member.type,
        type_version=member.type_version,
        resource_id=member.resource_id,
        parent=member.parent,
        display_name=member.display_name,
        properties=to_struct(member.properties) if member.properties else None,
        tags=member.tags,
        location=member.location,
        lock=int(member.lock),  # type: ignore[arg-type]
        dependencies=member.dependencies,
        keep=member.keep,
        references=member.references,
    )
    if member.expire_time is not None:
        message.expire_time.CopyFrom(timestamp(member.expire_time))
    return message


def _state_message(state: MemberState) -> pb.StackMemberState:
    message = pb.StackMemberState(
        member=state.member,
        resource=state.resource,
        state=int(state.became),  # type: ignore[arg-type]
        action=int(state.action),  # type: ignore[arg-type]
        operation=state.operation,
    )
    if state.error is not None:
        message.error.CopyFrom(status(state.error))
    return message
