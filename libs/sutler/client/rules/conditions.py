"""Conditions that the worker asks, and what is told of them and of errors."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from google.rpc.status_pb2 import Status

from sutler.client.rules.context import Context
from sutler.client.rules.handlers import Check
from sutler.errors import Code, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import to_status

DOMAIN = "worker.sutler.dev"
MAX_MESSAGE = 1000


async def hold(context: Context, checks: Sequence[Check], told: list[pb.ConditionResult]) -> bool:
    """Returns whether all conditions hold, and tells what each has given. Raises what one raises."""
    for check in checks:
        try:
            found = check(context)
            holds = bool(await found if inspect.isawaitable(found) else found)
        except Exception as error:
            result = pb.ConditionResult(expression=_name(check), outcome=pb.ConditionResult.OUTCOME_ERROR)
            result.error.CopyFrom(status_of(error))
            told.append(result)
            raise
        told.append(asked(_name(check), holds=holds))
        if not holds:
            return False
    return True


def asked(name: str, *, holds: bool) -> pb.ConditionResult:
    """Returns what a condition has given."""
    outcome = pb.ConditionResult.OUTCOME_TRUE if holds else pb.ConditionResult.OUTCOME_FALSE
    return pb.ConditionResult(expression=name, outcome=outcome)


def status_of(error: BaseException) -> Status:
    """Returns an error as the server is told of it; one that is none of Sutler's is UNKNOWN, with its text."""
    if isinstance(error, SutlerError):
        return to_status(error, DOMAIN)
    return Status(code=int(Code.UNKNOWN), message=repr(error)[:MAX_MESSAGE])


def _name(check: Check) -> str:
    """Returns what a condition is called; a lambda by where it stands."""
    name: str = getattr(check, "__name__", type(check).__name__)
    code = getattr(check, "__code__", None)
    return f"{name} at {check.__module__}:{code.co_firstlineno}" if name == "<lambda>" and code else name
