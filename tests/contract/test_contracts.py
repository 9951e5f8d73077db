"""Every rule holds for every contract, but for what the table of exceptions lists."""

from __future__ import annotations

from functools import cache

import pytest

from tests.contract.compiling import generator
from tests.contract.descriptors import Contracts
from tests.contract.exceptions import EXCEPTIONS
from tests.contract.loading import load
from tests.contract.rule import Rule, Violation
from tests.contract.rules import RULES

BY_NAME = {rule.name: rule for rule in RULES}


@cache
def contracts() -> Contracts:
    """Returns what protos/gen.py made."""
    path = generator().DESCRIPTORS
    assert path.exists(), f"{path} is missing: run `python protos/gen.py`"
    return load(path)


@cache
def violations(rule: str) -> tuple[Violation, ...]:
    """Returns all that breaks a rule, exceptions included."""
    return tuple(BY_NAME[rule].run(contracts()))


def file_names() -> list[str]:
    """Returns our files, for use as parameters."""
    return [file.name for file in contracts().files]


def test_descriptor_set_is_current() -> None:
    """The descriptor set is made of the contracts as they are now."""
    gen = generator()
    assert gen.STAMP.read_text() == gen.fingerprint(), "the contracts have changed: run `python protos/gen.py`"


@pytest.mark.parametrize("file", file_names())
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_contract_keeps_rule(rule: Rule, file: str) -> None:
    """The file breaks the rule nowhere; what breaks it is named with its line."""
    found = [
        each for each in violations(rule.name) if each.file == file and (rule.name, each.element) not in EXCEPTIONS
    ]
    if found:
        pytest.fail("\n".join([rule.text, *map(str, found)]), pytrace=False)


@pytest.mark.parametrize(("rule", "element"), EXCEPTIONS)
def test_exception_is_needed(rule: str, element: str) -> None:
    """An exception names a rule, an element that breaks it, and a reason."""
    assert rule in BY_NAME, f"there is no rule {rule}"
    assert element in {each.element for each in violations(rule)}, f"{element} does not break {rule} any more"
    assert EXCEPTIONS[rule, element].strip()
