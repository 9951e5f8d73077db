"""Whether a record is still as it was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from sutler.context import Principal
from sutler.errors import etag_mismatch

from services.erp import faults
from services.erp.connections import ErpContext
from services.erp.links import Link
from services.erp.ports import FieldSets
from services.erp.reading import Reading
from services.erp.records import etag_covers
from services.erp.wanting import View, Wanted


class Etags:
    """Checks etags.

    Args:
        reading: Reads what an etag covers once more.
        field_sets: What etags cover.
    """

    def __init__(self, reading: Reading, field_sets: FieldSets) -> None:
        self._reading = reading
        self._field_sets = field_sets

    async def check(
        self,
        link: Link,
        principal: Principal,
        model: str,
        record_id: int,
        etag: str,
        context: ErpContext | None,
        *,
        allow_missing: bool = False,
        permission: str = "",
    ) -> Mapping[int, str]:
        """Reads what an etag covers, and compares; hold the record's lock meanwhile. Any passes if it is empty or *.

        Returns the version that the record had before it was read, for drivers that check it within the write.

        Raises:
            Conflict: If the record has changed since (ETAG_MISMATCH).
            NotFound: If it does not exist, unless ``allow_missing``.
            SutlerError: As :meth:`services.erp.reading.Reading.view`.
        """
        if not etag or etag == "*":
            return {}
        view = await self.view(link, principal, model, record_id, etag, context, permission=permission)
        stamps = await link.driver.stamps(view.ask, view.schema, [record_id])
        found = await self._reading.current_etag(view, record_id)
        if found is None and not allow_missing:
            raise faults.record_missing(link.name, model, [record_id])
        if found is not None and found.strip('"') != etag.strip('"'):
            raise etag_mismatch(faults.record_name(link.name, model, record_id))
        return stamps

    async def view(
        self,
        link: Link,
        principal: Principal,
        model: str,
        record_id: int | str,
        etag: str,
        context: ErpContext | None,
        *,
        permission: str = "",
    ) -> View:
        """Returns how the caller reads what an etag covers.

        Raises:
            Conflict: If it is not known what it covers (ETAG_MISMATCH).
            SutlerError: As :meth:`services.erp.reading.Reading.view`.
        """
        covers = await self._field_sets.find(etag_covers(etag))
        if covers is None:
            raise etag_mismatch(faults.record_name(link.name, model, record_id))
        context = replace(context or link.connection.spec.context(None), language=covers.language)
        wanted = Wanted(
            model=model, fields=covers.fields, binaries=covers.binaries, context=context, permission=permission
        )
        return await self._reading.view(link, principal, wanted)
