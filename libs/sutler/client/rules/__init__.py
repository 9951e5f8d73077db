"""The client of RuleService for programs that handle events: workers with ``@on``, ``@when`` and middleware.

``Handlers`` collects the functions of a worker, ``worker`` runs them. ``emit`` and ``subject`` are for code outside of
handlers.
"""

from sutler.client.rules import middleware
from sutler.client.rules.context import Context, Permanent
from sutler.client.rules.direct import emit, subject
from sutler.client.rules.handlers import Handler, Handlers, Next
from sutler.client.rules.subjects import Subject
from sutler.client.rules.worker import Worker, worker

SUBJECT_PROPERTY_CHANGED = "subject.property.changed"
SUBJECT_PROPERTY_DELETED = "subject.property.deleted"
SUBJECT_DELETED = "subject.deleted"
HANDLER_FAILED = "error.handler_failed"

__all__ = [
    "HANDLER_FAILED",
    "SUBJECT_DELETED",
    "SUBJECT_PROPERTY_CHANGED",
    "SUBJECT_PROPERTY_DELETED",
    "Context",
    "Handler",
    "Handlers",
    "Next",
    "Permanent",
    "Subject",
    "Worker",
    "emit",
    "middleware",
    "subject",
    "worker",
]
