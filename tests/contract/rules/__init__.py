"""All rules. A new module adds its `RULES` here."""

from __future__ import annotations

from tests.contract.rule import Rule
from tests.contract.rules import (
    comments,
    fields,
    files,
    http,
    http_fields,
    idempotency,
    maximums,
    names,
    operations,
    paging,
    permissions,
    reasons,
    resources,
    standard_methods,
    validation,
    watches,
)

MODULES = (
    files,
    comments,
    names,
    fields,
    maximums,
    resources,
    permissions,
    standard_methods,
    paging,
    idempotency,
    watches,
    operations,
    http,
    http_fields,
    reasons,
    validation,
)
RULES: tuple[Rule, ...] = tuple(rule for module in MODULES for rule in module.RULES)
