from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Command
from tests.unit.cli.rules import Rules

pytestmark = pytest.mark.usefixtures("server")


def test_operations_in_a_table(sutler: Command) -> None:
    heading, line = sutler("get", "resourceOperations").out.splitlines()
    assert heading.split() == ["NAME", "TARGET", "METHOD", "STATE", "PROGRESS", "PERCENT"]
    assert line.split() == ["resourceOperations/a", "subscriptions/s", "X", "STATE_RUNNING", "50"]


class TestHistory:
    def test_of_one_resource(self, sutler: Command) -> None:
        heading, line = sutler("history", "subscriptions/s").out.splitlines()
        assert heading.split() == ["REVISION", "RESOURCE", "KIND", "ACTOR", "CAUSE", "METHOD"]
        told = ["7", "subscriptions/s", "KIND_UPDATED", "user:anna", "CAUSE_REQUEST", "UpdateResource"]
        assert line.split() == told

    def test_of_all_below(self, sutler: Command) -> None:
        assert sutler("history", "subscriptions/s", "-r", "-o", "json").json[0]["method"] == "recursive"
        assert sutler("get", "resourceRevisions", "-o", "json").json[0]["method"] == "recursive"


class TestWait:
    def test_for_a_result(self, sutler: Command) -> None:
        answer = sutler("wait", "resourceOperations/a")
        assert (answer.code, answer.yaml) == (0, {"kind": "google.protobuf.Empty"})

    def test_for_a_failure(self, sutler: Command) -> None:
        answer = sutler("wait", "resourceOperations/bad")
        assert (answer.code, answer.out) == (1, "") and "it is bad" in answer.err

    @pytest.mark.parametrize("command", ["wait", "cancel"])
    def test_what_is_no_operation(self, sutler: Command, command: str) -> None:
        for name in ("rules/a", "operations"):
            answer = sutler(command, name)
            assert answer.code == 1 and name in answer.err


def test_cancel(sutler: Command, rules: Rules) -> None:
    answer = sutler("cancel", "resourceOperations/a")
    assert answer.code == 0 and "resourceOperations/a" in answer.out
    assert rules.writes == ["cancel resourceOperations/a"]


class TestInvoke:
    def test_with_parameters(self, sutler: Command, rules: Rules) -> None:
        answer = sutler("invoke", "subscriptions/s", "restart", "--parameters", '{"delay": 5}', "-o", "json")
        assert (answer.code, answer.json) == (0, {"result": {"delay": 5}})
        assert rules.writes == ["restart subscriptions/s"]

    @pytest.mark.parametrize("parameters", ["delay", "[1]"])
    def test_parameters_that_are_no_object(self, sutler: Command, rules: Rules, parameters: str) -> None:
        answer = sutler("invoke", "subscriptions/s", "restart", "--parameters", parameters)
        assert answer.code == 2 and "--parameters" in answer.err and not rules.writes
