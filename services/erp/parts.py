"""Keyed creates that the ERP cannot take in one call: part after part, each all or none, taken back if one fails."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from sutler.errors import Conflict, Invalid, NotFound, SutlerError, Unavailable, Violation

from services.erp import faults
from services.erp.faults import AnswerLostError
from services.erp.links import Link
from services.erp.ports import Prepared
from services.erp.schemas import ModelSchema
from services.erp.users import Ask

SHOWN = 20


def parts_of(rows: Sequence[Prepared]) -> list[list[int]]:
    """Returns which rows one keyed create takes: the indexes of the rows of each shape, in order."""
    parts: dict[Hashable, list[int]] = {}
    for index, row in enumerate(rows):
        parts.setdefault(row.shape, []).append(index)
    return list(parts.values())


def gaps(rows: Sequence[Prepared], keys: Sequence[str], known: Mapping[str, int]) -> list[int]:
    """Returns the rows whose records are missing though others of the same part exist: they were deleted since."""
    return [
        index
        for part in parts_of(rows)
        if any(keys[other] in known for other in part)
        for index in part
        if keys[index] not in known
    ]


async def create_missing(
    link: Link, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], keys: Sequence[str], made: dict[str, int]
) -> None:
    """Creates the parts that do not exist, and notes the record of each key.

    Args:
        link: The connection.
        ask: As whom.
        schema: The model.
        rows: The records.
        keys: One external id for each.
        made: The records that exist, by key; gets the new ones.

    Raises:
        AnswerLostError: If an answer is lost, or the ERP cannot be reached after it took a part.
        SutlerError: Why the ERP refuses a part; faults of rows have their places among all rows.
    """
    for part in parts_of(rows):
        if keys[part[0]] in made:
            continue
        chosen = [keys[index] for index in part]
        try:
            ids = await link.driver.create(ask, schema, [rows[index] for index in part], chosen)
        except Unavailable as error:
            if made:
                raise AnswerLostError(error) from error
            raise
        except Invalid as error:
            raise _placed(error, schema.name, part, len(rows)) from error
        made.update(zip(chosen, ids, strict=True))


async def take_back(
    link: Link, ask: Ask, schema: ModelSchema, ids: Sequence[int], journal: str, cause: SutlerError
) -> None:
    """Deletes records whose write failed elsewhere, or archives them where the ERP does not let them go.

    Args:
        link: The connection.
        ask: As whom.
        schema: Their model.
        ids: The records.
        journal: The name of the write's entry in the journal.
        cause: Why the write failed.

    Raises:
        Conflict: If they still stand (UNDO_FAILED).
    """
    left = list(ids)
    for _ in range(link.connection.spec.attempts):
        if not left:
            return
        try:
            await link.driver.delete(ask, schema, left)
            return
        except (AnswerLostError, NotFound, Unavailable):
            left = await _standing(link, ask, schema, left)
        except SutlerError:
            break
    if left and not await _archived(link, ask, schema, left):
        raise _undo_failed(link.name, schema.name, left, journal, cause) from cause


async def _standing(link: Link, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> list[int]:
    try:
        return [row.id for row in await link.driver.read(ask, schema, ids, ["id"])]
    except SutlerError:
        return list(ids)


async def _archived(link: Link, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> bool:
    if not schema.model.archive_field:
        return False
    try:
        await link.driver.archive(ask, schema, ids)
    except (AnswerLostError, SutlerError):
        return False
    return True


def _placed(error: Invalid, model: str, part: Sequence[int], count: int) -> Invalid:
    """Returns an error of a part with the places of its rows among all."""
    if count == 1 or not error.violations:
        return error
    placed = []
    for broken in error.violations:
        row, dot, rest = broken.field.removeprefix("rows[").partition("].")
        index, place = (int(row), rest) if dot else (0, broken.field)
        placed.append(Violation(f"rows[{part[index]}].{place}", broken.description, broken.reason or error.reason))
    return faults.rows_invalid(model, placed)


def _undo_failed(connection: str, model: str, ids: Sequence[int], journal: str, cause: SutlerError) -> Conflict:
    shown = ", ".join(str(one) for one in ids[:SHOWN])
    return Conflict(
        f"the ERP refused part of the batch ({cause.message}), and does not let go what it took: {model} {shown} of "
        f"{connection} still stand; delete them, or call again with the same request_id",
        reason="UNDO_FAILED",
        metadata={"transaction": journal, "model": model, "ids": shown, "cause": cause.reason},
    )
