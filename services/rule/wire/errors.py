"""Stored failures to ``google.rpc.Status``."""

from __future__ import annotations

from google.rpc.status_pb2 import Status
from sutler.errors import SutlerError
from sutler.status import to_status

from services.rule.failures import DOMAIN, Failure, to_error


def status_of(failure: Failure | None) -> Status | None:
    """Returns the status of a failure; None for none."""
    return None if failure is None else to_status(to_error(failure), DOMAIN)


def status_of_error(error: SutlerError | None) -> Status | None:
    """Returns the status of an error; None for none."""
    return None if error is None else to_status(error, DOMAIN)
