"""A driver whose ERP is believed about what it has no more: what was remembered of a model is then read anew."""

from __future__ import annotations

from typing import Any, cast

from services.erp.catalogue import Catalogue
from services.erp.ports import Driver
from services.erp.schemas import ModelSchema
from services.erp.users import Ask

ASKING = frozenset(
    ("read", "search", "count", "aggregate", "names", "stamps", "create", "write", "archive", "delete")
)  # fmt: skip
"""The methods that ask the ERP by a model's schema; all begin with ``ask`` and ``schema``."""


class _Doubted:
    def __init__(self, driver: Driver, catalogue: Catalogue) -> None:
        self._driver = driver
        self._catalogue = catalogue

    def __getattr__(self, name: str) -> Any:
        if name not in ASKING:
            return getattr(self._driver, name)

        async def ask_by_schema(ask: Ask, schema: ModelSchema, *args: Any, **named: Any) -> Any:
            with self._catalogue.doubted(schema.name):
                return await getattr(self._driver, name)(ask, schema, *args, **named)

        setattr(self, name, ask_by_schema)
        return ask_by_schema


def doubted(driver: Driver, catalogue: Catalogue) -> Driver:
    """Returns a driver whose ERP makes the catalogue forget a model that is there no more, or one of its fields is not.

    Args:
        driver: Asks the ERP.
        catalogue: Remembers models.
    """
    return cast(Driver, _Doubted(driver, catalogue))
