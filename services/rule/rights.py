"""What the author of a rule must be allowed, so that a rule does nothing that its author could not do itself."""

from __future__ import annotations

from sutler.auth import authorize
from sutler.context import Principal

from services.rule.definitions import Deed, DeleteProperty, EmitEvent, SetProperty
from services.rule.subjects import subject_name
from services.rule.writes import TaskOutcome

SUBJECTS_UPDATE = "rule.subjects.update"
SUBJECTS_DELETE = "rule.subjects.delete"
EVENTS_PUBLISH = "rule.events.batchPublish"


def check_outcome(worker: Principal, outcome: TaskOutcome) -> None:
    """Checks that a worker may do itself what it makes of a task.

    Raises:
        PermissionDenied: As the direct calls would (PERMISSION_MISSING).
    """
    for update in outcome.updates:
        if update.deleted:
            authorize(worker, SUBJECTS_DELETE, [subject_name(update.subject)])
        if update.writes or update.ttl is not None or not update.deleted:
            authorize(worker, SUBJECTS_UPDATE, [subject_name(update.subject)])
    if outcome.events:
        authorize(worker, EVENTS_PUBLISH, ())


def check_rights(author: Principal, deed: Deed) -> None:
    """Checks that an author may do in this service what an action does; what it calls, the called service checks.

    Permissions and targets are those of UpdateSubject, which also removes properties, and of BatchPublishEvents, which
    has no target, so that a grant with a pattern does not cover it.

    Args:
        author: The principal that wrote the rule.
        deed: What the action does. Where its subject is empty because only an event will tell it, some grant will do.

    Raises:
        PermissionDenied: As the direct call would (PERMISSION_MISSING).
    """
    match deed:
        case SetProperty(subject=subject) | DeleteProperty(subject=subject):
            authorize(author, SUBJECTS_UPDATE, [subject_name(subject)] if subject else None)
        case EmitEvent():
            authorize(author, EVENTS_PUBLISH, ())
