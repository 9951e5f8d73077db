"""The life of a stack. No other module writes a stack's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.resource.problems import Problem
from services.resource.stacks.stack import Stack, StackState


def apply(stack: Stack) -> Stack:
    """Returns a stack whose members are worked on."""
    return replace(stack, state=StackState.APPLYING)


def undo(stack: Stack, why: Problem) -> Stack:
    """Returns a stack whose run has failed, and takes back what it created."""
    return replace(stack, state=StackState.UNDOING, error=why)


def delete(stack: Stack, operation: str, updater: str) -> Stack:
    """Returns a stack whose members are removed, and which is gone then."""
    return replace(stack, state=StackState.DELETING, error=None, operation=operation, updater=updater)


def succeed(stack: Stack, outputs: Mapping[str, Any]) -> Stack:
    """Returns a stack whose members are all as declared."""
    return replace(stack, state=StackState.SUCCEEDED, error=None, outputs=outputs, operation="")


def fail(stack: Stack, why: Problem) -> Stack:
    """Returns a stack whose run has failed."""
    return replace(stack, state=StackState.FAILED, error=why, operation="")


def cancel(stack: Stack, why: Problem) -> Stack:
    """Returns a stack whose run was cancelled; what is being deleted fails instead."""
    if stack.state is StackState.DELETING:
        return fail(stack, why)
    return replace(stack, state=StackState.CANCELED, error=why, operation="")
