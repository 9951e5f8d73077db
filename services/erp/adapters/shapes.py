"""Whether an answer has the shape that it must have; the same for every ERP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from services.erp import faults
from services.erp.faults import AnswerLostError

log = structlog.get_logger("erp.driver")

MOST = 2**63 - 1


def shaped(connection: str, value: Any, kind: type, of: type = object) -> Any:
    """Returns an answer that has the shape it must have.

    Args:
        connection: The name of the connection.
        value: The answer.
        kind: What it must be.
        of: What the elements of a list, or the values of an object, must be.

    Raises:
        Unavailable: If it has another (ERP_ANSWER_INVALID).
    """
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not isinstance(value, kind) or not all(isinstance(part, of) for part in parts):
        raise faults.answer_invalid(connection, "neither result nor error" if value is None else "another shape")
    return value


@contextmanager
def understood(connection: str) -> Iterator[None]:
    """Takes apart an answer that changed nothing; the block fails in any way of Python if its shape is another.

    Raises:
        Unavailable: If it has another (ERP_ANSWER_INVALID); the log has where.
    """
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        log.warning("answer of another shape", connection=connection, exc_info=True)
        raise faults.answer_invalid(connection, "another shape") from error


def id_of(value: Any) -> int:
    """Returns the id of a record. Raises ValueError if it is none."""
    if type(value) is not int or not 0 < value <= MOST:
        raise ValueError(f"no id of a record: {value!r:.100}")
    return value


def created_ids(connection: str, value: Any, count: int) -> list[int]:
    """Returns the ids that a create has answered, one for each record.

    Raises:
        AnswerLostError: If they are others: nobody knows what was created.
    """
    try:
        ids = [id_of(one) for one in value] if isinstance(value, list) else []
    except ValueError:
        ids = []
    if len(ids) != count:
        raise AnswerLostError(faults.answer_invalid(connection, "another shape"))
    return ids
