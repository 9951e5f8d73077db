"""RuleService on the wire: each RPC translates a request, calls the domain, and translates the answer."""

from __future__ import annotations

from sutler.operations.servicer import OperationBook, OperationsServicer

from services.rule.servicer.events import EventRpcs
from services.rule.servicer.executions import ExecutionRpcs
from services.rule.servicer.failures import FailureRpcs
from services.rule.servicer.insight import InsightRpcs
from services.rule.servicer.parts import Parts, Rpcs
from services.rule.servicer.rules import RuleRpcs
from services.rule.servicer.schedules import ScheduleRpcs
from services.rule.servicer.subjects import SubjectRpcs
from services.rule.servicer.tasks import TaskRpcs
from services.rule.servicer.watches import WatchRpcs

__all__ = ["Parts", "RuleServicer"]


class RuleServicer(
    RuleRpcs,
    EventRpcs,
    SubjectRpcs,
    ExecutionRpcs,
    FailureRpcs,
    ScheduleRpcs,
    TaskRpcs,
    InsightRpcs,
    WatchRpcs,
    OperationsServicer,
):
    """All RPCs that this release offers.

    Args:
        parts: What they work with.
        book: Where operations are.
    """

    def __init__(self, parts: Parts, book: OperationBook) -> None:
        Rpcs.__init__(self, parts)
        OperationsServicer.__init__(self, book)
