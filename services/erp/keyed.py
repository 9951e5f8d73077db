"""Creates that carry keys: a repeat looks first whether an earlier try stored them."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.errors import SutlerError

from services.erp import faults
from services.erp.attempts import Attempt
from services.erp.faults import AnswerLostError
from services.erp.links import Link
from services.erp.parts import create_missing, gaps, take_back
from services.erp.ports import Prepared
from services.erp.schemas import ModelSchema
from services.erp.users import Ask

KEY_MODULE = "__sutler__"
"""Where the external ids stand that the gateway makes itself."""


async def create_once(
    link: Link, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], own: Sequence[str], attempt: Attempt
) -> list[int]:
    """Creates records, or finds those that an earlier try created, and returns their ids in order.

    Args:
        link: The connection.
        ask: As whom.
        schema: The model.
        rows: The records.
        own: The keys that the caller gave itself, empty where it gave none.
        attempt: The write; its entry has one key for each record, or none: then they are created without a look.

    Raises:
        AlreadyExists: If no earlier try of this write can have taken a key of the caller's own.
        NotFound: If some of the records of an earlier try were deleted since.
        AnswerLostError: If the answer is lost again and again.
        SutlerError: Why the ERP refuses.
    """
    keys = attempt.entry.keys
    if not keys:
        return await link.driver.create(ask, schema, rows)
    tries = link.connection.spec.attempts
    for count in range(tries):
        # First, always: a load over keys that exist would overwrite their records.
        made = await _found(link, ask, schema, rows, own, attempt)
        try:
            await create_missing(link, ask, schema, rows, keys, made)
            return [made[key] for key in keys]
        except AnswerLostError:
            attempt.lost = True
            if count == tries - 1:
                raise
        except SutlerError as error:
            # An earlier try, whose answer was lost, may have stored the key a moment ago.
            if link.driver.duplicate_key(error) and (attempt.again or attempt.lost):
                made = await _found(link, ask, schema, rows, own, attempt)
                if len(made) == len(keys):
                    return [made[key] for key in keys]
            attempt.lost = attempt.lost or bool(made)
            await take_back(link, ask, schema, list(made.values()), attempt.entry.name, error)
            raise
    raise AssertionError("unreachable")


async def _found(
    link: Link, ask: Ask, schema: ModelSchema, rows: Sequence[Prepared], own: Sequence[str], attempt: Attempt
) -> dict[str, int]:
    """Returns the records that exist, by key; those of a part were stored together."""
    keys = attempt.entry.keys
    known = await link.driver.find_externals(ask, schema.name, keys)
    taken = next((key for key in own if key in known), "")
    if taken and not (attempt.again or attempt.lost):
        raise faults.external_id_taken(link.name, taken)
    missing = gaps(rows, keys, known)
    if missing:
        raise faults.created_rows_missing(link.name, schema.name, missing)
    return known
