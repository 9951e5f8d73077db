"""Which models a caller reaches through relations: each needs the permission that the called method needs."""

from __future__ import annotations

from functools import lru_cache

from sutler.auth import authorize
from sutler.context import Principal, current
from sutler.errors import PermissionDenied
from sutler.methods import find_method

from services.erp.links import Link
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.users import Ask

WATCH = "erp.records.watch"
"""What whoever follows records needs for each of their models."""


def reachable(link: Link, ask: Ask, principal: Principal, permission: str = "") -> SchemaSource:
    """Returns what gives the schemas of models behind relations, and refuses those that the caller may not reach.

    Who follows a relation to anything but ids and titles asks this first, and so learns and changes nothing unallowed.

    Args:
        link: The connection.
        ask: As whom the ERP is asked.
        principal: Who calls.
        permission: What each model needs; that of the current call's method if empty.

    What it returns raises PermissionDenied (PERMISSION_MISSING), which names ``<connection id>/<model>`` as ``target``.
    """
    needed = permission or _permission(current().method)

    async def source(model: str) -> ModelSchema:
        target = f"{link.connection.id}/{model}"
        try:
            authorize(principal, needed, [target])
        except PermissionDenied as error:
            raise PermissionDenied(
                f"{error.message}, which is reached through a relation", metadata=error.metadata
            ) from error
        return await link.catalogue.schema(ask, model)

    return source


def noting(schemas: SchemaSource, noted: set[str]) -> SchemaSource:
    """Returns what gives the same schemas, and notes the models that it was asked for."""

    async def source(model: str) -> ModelSchema:
        noted.add(model)
        return await schemas(model)

    return source


@lru_cache(maxsize=256)
def _permission(method: str) -> str:
    return find_method(method).permission
