"""RuleService on the wire: each RPC translates a request, calls the domain, and translates the answer."""

from __future__ import annotations

from services.rule.servicer.events import EventRpcs
from services.rule.servicer.executions import ExecutionRpcs
from services.rule.servicer.failures import FailureRpcs
from services.rule.servicer.parts import Parts
from services.rule.servicer.rules import RuleRpcs
from services.rule.servicer.subjects import SubjectRpcs

__all__ = ["Parts", "RuleServicer"]


class RuleServicer(RuleRpcs, EventRpcs, SubjectRpcs, ExecutionRpcs, FailureRpcs):
    """All RPCs that this release offers.

    Args:
        parts: What they work with.
    """
