"""What the RPCs work with, and what all lists have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.context import Principal, current
from sutler.paging import Pager, fitting, page_size
from sutler.store import Database
from sutler.watch import Watcher

from services.rule.adapters.database.reading import Reading
from services.rule.adapters.database.replays import DatabaseReplays
from services.rule.adapters.database.rules import DatabaseRules
from services.rule.adapters.database.scene import DatabaseScene
from services.rule.adapters.database.schedules import DatabaseSchedules
from services.rule.adapters.database.subject_store import DatabaseSubjects
from services.rule.authoring import Rules
from services.rule.events import Cause
from services.rule.interventions import Interventions
from services.rule.publishing import Publishing
from services.rule.purging import Purges
from services.rule.queries import Found, Query
from services.rule.schedule_authoring import Schedules
from services.rule.simulating import Simulator
from services.rule.subject_updates import Subjects
from services.rule.tasking import Tasks


@dataclass(frozen=True, slots=True)
class Parts:
    """What the RPCs work with.

    Attributes:
        rules: Writes rules.
        rule_store: Reads rules.
        publishing: Accepts events.
        subjects: Changes subjects.
        subject_store: Reads subjects.
        schedules: Writes schedules.
        schedule_store: Reads schedules.
        interventions: Retries and resets.
        tasks: Serves workers.
        reading: Reads everything else.
        purges: Purges dead letters.
        replays: Begins executions once more.
        scene: Reads rules for those who look at all of them.
        simulator: Tells what events would do.
        pager: Makes page tokens.
        watcher: Makes watches.
        database: Where everything is stored, for watches.
        shutdown: Set when the server stops.
    """

    rules: Rules
    rule_store: DatabaseRules
    publishing: Publishing
    subjects: Subjects
    subject_store: DatabaseSubjects
    schedules: Schedules
    schedule_store: DatabaseSchedules
    interventions: Interventions
    tasks: Tasks
    reading: Reading
    purges: Purges
    replays: DatabaseReplays
    scene: DatabaseScene
    simulator: Simulator
    pager: Pager
    watcher: Watcher
    database: Database
    shutdown: asyncio.Event

    def query(self, method: str, request: Any) -> Query:
        """Returns which page a list request asks for."""
        return Query(
            request.filter,
            request.order_by,
            page_size(request),
            self.pager.position(current().tenant, method, request),
        )

    def page(self, method: str, request: Any, found: Found[Any], messages: Sequence[Any]) -> tuple[Sequence[Any], str]:
        """Returns the messages of a page that fit into one answer, and the token of the next page."""
        count = fitting(message.ByteSize() for message in messages)
        if count == len(messages) and not found.more:
            return messages, ""
        token = self.pager.token(current().tenant, method, request, found.positions[count - 1])
        return messages[:count], token


class Rpcs:
    """A group of RPCs.

    Args:
        parts: What they work with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts


def author() -> Principal:
    """Returns the principal in whose name the current call writes, within the tenant that it acts for."""
    call = current()
    return replace(call.principal.on_behalf_of or call.principal, tenant=call.tenant)


def cause() -> Cause:
    """Returns where the events of the current call come from."""
    call = current()
    return Cause(call.principal.actor, call.correlation_id)
