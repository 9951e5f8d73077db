"""Stacks as JSON with the field names of the contract: for the store and for filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from services.resource.documents import from_problem_document, problem_document
from services.resource.resource import Lock
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
)

Json = Mapping[str, Any]


def document(stack: Stack) -> dict[str, Any]:
    """Returns a stack without secrets and the states of its members: times as seconds since 1970, enums by names."""
    template = stack.template.public
    found: dict[str, Any] = {
        "name": stack.name,
        "uid": stack.uid,
        "display_name": template.display_name,
        "scope": template.scope,
        "members": [_member_document(member) for member in template.members],
        "parameters": template.parameters,
        "output_values": template.output_values,
        "outputs": stack.outputs,
        "state": stack.state.name,
        "operation": stack.operation,
        "creator": stack.creator,
        "updater": stack.updater,
        "create_time": stack.create_time,
        "update_time": stack.update_time,
        "revision": stack.revision,
        "etag": stack.etag,
    }
    if template.failure_policy:
        found["failure_policy"] = template.failure_policy.name
    if stack.error is not None:
        found["error"] = problem_document(stack.error)
    return found


def from_document(tenant: str, document: Json, states: Sequence[Json] = ()) -> Stack:
    """Returns the stack that :func:`document` and :func:`state_document` were made of.

    What an earlier release wrote beside that is passed over. It wrote of a lock only that the stack has set it, not
    which it is: that is what the template says.
    """
    error = document.get("error")
    members = tuple(map(_from_member_document, document["members"]))
    locks = {member.id: member.lock for member in members}
    return Stack(
        tenant=tenant,
        name=document["name"],
        uid=document["uid"],
        template=Template(
            display_name=document["display_name"],
            scope=document["scope"],
            members=members,
            parameters=document["parameters"],
            failure_policy=FailurePolicy[document.get("failure_policy", "UNSPECIFIED")],
            output_values=document["output_values"],
        ),
        member_states=tuple(_from_state_document(state, locks) for state in states),
        outputs=document["outputs"],
        state=StackState[document["state"]],
        error=None if error is None else from_problem_document(error),
        operation=document["operation"],
        creator=document["creator"],
        updater=document["updater"],
        create_time=document["create_time"],
        update_time=document["update_time"],
        revision=document["revision"],
    )


def state_document(state: MemberState) -> dict[str, Any]:
    """Returns what a stack knows of one resource; what is not set is left out."""
    found = {name: value for name, value in _fields(state).items() if value}
    found |= {"action": state.action.name, "became": state.became.name}
    if state.error is not None:
        found["error"] = problem_document(state.error)
    if state.applied is not None:
        found["applied"] = asdict(state.applied)
    return found


def _from_state_document(document: Json, locks: Mapping[str, Lock]) -> MemberState:
    lock = locks.get(document["member"], Lock.UNSPECIFIED) if document.get("locks") else Lock.UNSPECIFIED
    error, applied = document.get("error"), document.get("applied")
    changes: dict[str, Any] = {
        "action": Action[document["action"]],
        "became": Became[document["became"]],
        "needs": tuple(document.get("needs", ())),
        "error": None if error is None else from_problem_document(error),
        "applied": None if applied is None else _from_applied_document(applied, lock),
    }
    known = {field.name for field in fields(MemberState)}
    return MemberState(**{**{name: value for name, value in document.items() if name in known}, **changes})


def _member_document(member: Member) -> dict[str, Any]:
    found = {name: value for name, value in _fields(member).items() if value}
    found.pop("secrets", None)
    if member.lock:
        found["lock"] = member.lock.name
    if member.expire_time is not None:
        found["expire_time"] = member.expire_time
    return found


def _from_member_document(document: Json) -> Member:
    changes: dict[str, Any] = {
        "lock": Lock[document.get("lock", "UNSPECIFIED")],
        "dependencies": tuple(document.get("dependencies", ())),
        "references": tuple(document.get("references", ())),
    }
    return Member(**{**document, **changes})


def _from_applied_document(document: Json, lock: Lock) -> Applied:
    lists = {name: tuple(document[name]) for name in ("tags", "references", "fields")}
    return Applied(properties=document["properties"], lock=Lock(document.get("lock", lock)), **lists)


def _fields(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}
