"""Creates that carry keys: a repeat looks first whether an earlier try stored them; no two writes use one at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sutler.errors import SutlerError, Unavailable

from services.erp import faults
from services.erp.attempts import MARGIN_SECONDS, Attempt
from services.erp.faults import AnswerLostError
from services.erp.links import Link
from services.erp.ports import Claim, HeldKeys, KeyStore, Prepared
from services.erp.schemas import ModelSchema
from services.erp.users import Ask

KEY_MODULE = "__sutler__"
"""Where the external ids stand that the gateway makes itself: of one write alone, so that they need no claim."""


def claim(link: Link, model: str, keys: Iterable[str], owner: str) -> Claim:
    """Returns what a write needs to hold while it creates records under keys."""
    spec = link.connection.spec
    return Claim(
        connection=link.name,
        connection_uid=link.connection.uid,
        model=model,
        keys=tuple(dict.fromkeys(keys)),
        owner=owner,
        seconds=spec.timeout_seconds + MARGIN_SECONDS,
        wait_seconds=spec.queue_wait_seconds,
    )


async def create_once(
    store: KeyStore,
    link: Link,
    ask: Ask,
    schema: ModelSchema,
    rows: Sequence[Prepared],
    own: Sequence[str],
    attempt: Attempt,
) -> list[int]:
    """Creates records, or finds those that an earlier try created, and returns their ids in order.

    Args:
        store: Keeps other writes away from the caller's keys, until the end of this one is stored.
        link: The connection.
        ask: As whom.
        schema: The model.
        rows: The records, all of one shape.
        own: The keys that the caller gave itself, empty where it gave none.
        attempt: The write; its entry has one key for each record, or none: then they are created without a look.

    Raises:
        AlreadyExists: If another write took a key of the caller's own.
        Conflict: If another write is at one of them (OPERATION_IN_PROGRESS).
        NotFound: If some of the records of an earlier try were deleted since.
        AnswerLostError: If the answer is lost again and again.
        SutlerError: Why the ERP refuses.
    """
    keys = attempt.entry.keys
    if not keys:
        return await link.driver.create(ask, schema, rows)
    claimed = claim(link, schema.name, (link.driver.same_key(key) for key in own if key), attempt.entry.uid)
    tries = link.connection.spec.attempts
    async with store.hold(claimed) as held:
        for count in range(tries):
            try:
                # First, always: a load over keys that exist would overwrite their records.
                made = await _found(link, ask, schema, own, keys, held)
                if made:
                    return made
                await held.ask(claimed.keys)
            except Unavailable as error:
                if attempt.lost:
                    raise AnswerLostError(error) from error
                raise
            try:
                return await link.driver.create(ask, schema, rows, keys)
            except AnswerLostError:
                attempt.lost = True
                if count == tries - 1:
                    raise
            except SutlerError as error:
                # An earlier try, whose answer was lost, may have stored the key a moment ago.
                if not (link.driver.duplicate_key(error) and (attempt.again or attempt.lost)):
                    raise
                made = await _found(link, ask, schema, own, keys, held)
                if not made:
                    raise
                return made
    raise AssertionError("unreachable")


async def _found(
    link: Link, ask: Ask, schema: ModelSchema, own: Sequence[str], keys: Sequence[str], held: HeldKeys
) -> list[int]:
    """Returns the records of an earlier try, which were stored together; none if there was none."""
    known = await link.driver.find_externals(ask, schema.name, keys)
    taken = next((key for key in own if key in known and link.driver.same_key(key) not in held.asked), "")
    if taken:
        raise faults.external_id_taken(link.name, taken)
    missing = [index for index, key in enumerate(keys) if key not in known]
    if known and missing:
        raise faults.created_rows_missing(link.name, schema.name, missing)
    return [known[key] for key in keys] if known else []
