"""Each rule reports what it is there for: good contracts pass, and one change to them is found."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.contract.breakages import CASES
from tests.contract.breakages.case import GADGET, HANDLER, WIDGET, Case, good_text
from tests.contract.compiling import compile_protos
from tests.contract.rules import RULES

BY_NAME = {rule.name: rule for rule in RULES}


def label(case: Case) -> str:
    """Names a case by rule and element."""
    return f"{case.rule}-{case.element}"


@pytest.mark.parametrize("path", [WIDGET, GADGET, HANDLER])
def test_good_contract_passes(path: str) -> None:
    """The pattern of protos/README.md and the good contracts of these tests break no rule."""
    contracts = compile_protos({path: good_text(path)})
    found = [str(violation) for rule in RULES for violation in rule.run(contracts)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("case", CASES, ids=label)
def test_broken_contract_is_reported(case: Case) -> None:
    """The rule names the element that was broken."""
    found = [violation.element for violation in BY_NAME[case.rule].run(case.compile())]
    assert case.full_name in found, f"{case.rule} reports {found or 'nothing'}"


def test_paths_collide_across_services() -> None:
    """The gateway serves all services on one host, so paths are compared over all of them."""
    gadget = good_text(GADGET).replace("/v1/{name=gadgets/*}:start", "/v1/{name=gadgetOperations/**}:start")
    widget = good_text(WIDGET).replace('post: "/v1/widgets"', 'post: "/v1/gadgetOperations/a/b:start"')
    contracts = compile_protos({GADGET: gadget, WIDGET: widget})
    found = [violation.element for violation in BY_NAME["paths_do_not_collide"].run(contracts)]
    assert found == ["sutler.gadget.v1.GadgetService.StartGadget"]


def test_every_rule_has_a_broken_contract() -> None:
    """No rule is without proof that it can fail."""
    assert {rule.name for rule in RULES} == {case.rule for case in CASES}


def test_rule_names_are_unique() -> None:
    """The names of rules are keys of the table of exceptions."""
    assert [name for name, count in Counter(rule.name for rule in RULES).items() if count > 1] == []


def test_every_rule_says_what_it_wants() -> None:
    """The text of a rule is shown when it fails."""
    assert [rule.name for rule in RULES if not rule.text] == []
