"""Broken contracts: for each rule at least one change to a good contract that the rule must report."""

from __future__ import annotations

from tests.contract.breakages import fields, files, http, methods, reasons, resources
from tests.contract.breakages.case import Case

CASES: tuple[Case, ...] = (
    *files.CASES,
    *fields.CASES,
    *resources.CASES,
    *methods.CASES,
    *http.CASES,
    *reasons.CASES,
)
