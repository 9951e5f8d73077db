from __future__ import annotations

import re
from pathlib import Path

import pytest
from sutler.rule.v1 import rule_pb2 as pb

from tests.unit.cli.conftest import RULE, Command, Terminal, keep
from tests.unit.cli.rules import Rules


@pytest.mark.usefixtures("server")
class TestGet:
    def test_one(self, sutler: Command, rules: Rules) -> None:
        keep(rules, "a", display_name="é", enabled=False)
        assert sutler("get", "rules/a", "-o", "json").json == {"name": "rules/a", "displayName": "é", "enabled": False}
        assert sutler("get", "rules/a", "-o", "yaml").yaml["displayName"] == "é"
        assert sutler("get", "rules/a").yaml["displayName"] == "é"

    def test_all_pages_also_over_empty_ones(self, sutler: Command, rules: Rules) -> None:
        keep(rules, *"abcde")
        names = [f"rules/{name}" for name in "abcde"]
        assert [row["name"] for row in sutler("get", "rules", "-o", "json").json] == names
        assert re.findall(r"^name: (.*)$", sutler("get", "rules", "-o", "yaml").out, re.MULTILINE) == names
        assert [row["name"] for row in sutler("get", "rules", "--limit", 2, "-o", "json").json] == names[:2]
        assert [row["name"] for row in sutler("get", "rules", "--filter", '"b"', "-o", "json").json] == ["rules/b"]

    def test_none(self, sutler: Command) -> None:
        assert sutler("get", "rules", "-o", "json").json == []
        assert sutler("get", "rules", "-o", "yaml").out == ""
        assert sutler("get", "rules").code == 0

    def test_table_for_people(self, sutler: Command, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
        keep(rules, "a", "b-with-a-rather-long-name-that-must-not-be-cut", display_name="[red]not markup[/]")
        out = sutler("get", "rules").out
        assert out.splitlines()[0].split() == ["NAME", "DISPLAY", "NAME"]
        assert "[red]not markup[/]" in out
        monkeypatch.setenv("COLUMNS", "30")
        narrow = sutler("get", "rules").out
        assert "rules/b-with-a-rather-long-name-that-must-not-be-cut  [red]not markup[/]" in narrow

    def test_table_on_a_narrow_terminal(self, sutler: Command, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "a-rather-long-name-that-must-stay-in-one-piece"
        keep(rules, name, display_name="a text that may be broken")
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("FORCE_COLOR", "1")
        lines = sutler("get", "rules").out.splitlines()
        assert len(lines) > 2
        assert any(f"rules/{name}" in line for line in lines)

    def test_whole_numbers_of_open_data(self, sutler: Command, rules: Rules) -> None:
        action = pb.Action(id="a", set_property=pb.SetProperty(property="p"))
        action.set_property.value.struct_value.update({"whole": 2, "part": 2.5})
        keep(rules, "a", actions=[action])
        for words in (("-o", "json"), ("-o", "yaml"), ()):
            out = sutler("get", "rules/a", *words).out
            assert "2.5" in out and "2.0" not in out

    def test_nothing_there(self, sutler: Command) -> None:
        answer = sutler("get", "rules/none")
        assert (answer.code, answer.out) == (1, "")
        assert "[NOT_FOUND]" in answer.err

    @pytest.mark.parametrize("what", ["colours", "colours/red", "machine", "Machines", "", "Rules/a", "machine/x"])
    def test_what_nobody_knows(self, sutler: Command, what: str) -> None:
        answer = sutler("get", what)
        assert answer.code == 1
        assert "machineRequests" in answer.err
        if what and "olour" not in what:
            assert "did you mean" in answer.err

    def test_help_lists_the_collections(self, sutler: Command) -> None:
        out = " ".join(sutler("get", "--help").out.split())
        assert " machines," in out and "rules/RULE/revisions" in out and "STATE_RUNNING" in out

    def test_an_order_that_the_collection_does_not_have(self, sutler: Command) -> None:
        assert sutler("get", "ruleOperations", "--order-by", "name").code == 1


@pytest.mark.usefixtures("server")
class TestDelete:
    def test_by_name(self, sutler: Command, rules: Rules) -> None:
        keep(rules, "a", "b")
        answer = sutler("delete", "rules/a", "--yes")
        assert (answer.code, set(rules.kept)) == (0, {"rules/b"})
        assert "- rules/a" in answer.out

    def test_what_is_named_and_not_there(self, sutler: Command, rules: Rules) -> None:
        keep(rules, "a")
        answer = sutler("delete", "rules/none", "rules/a", "--yes")
        assert (answer.code, set(rules.kept)) == (1, set())
        assert "not there: rules/none" in answer.out and "- rules/none" not in answer.out
        assert "- rules/a" in answer.out
        fine = sutler("delete", "rules/none", "--yes", "--allow-missing")
        assert fine.code == 0 and "not there: rules/none" in fine.out

    def test_what_a_file_describes_and_is_not_there(self, sutler: Command, file: Path) -> None:
        file.write_text(RULE)
        answer = sutler("delete", "-f", file, "--yes")
        assert answer.code == 0 and "not there: rules/a" in answer.out

    def test_needs_a_terminal_or_yes(self, sutler: Command, rules: Rules, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [f"rules/{name}" for name in "abcdefg"]
        keep(rules, *"abcdefg")
        answer = sutler("delete", *names)
        assert answer.code == 2 and "--yes" in answer.err
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        asked = sutler("delete", *names)
        assert asked.code == 1 and "rules/a, rules/b, rules/c, rules/d, rules/e and 2 more" in asked.out + asked.err
        assert len(rules.kept) == 7
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        assert sutler("delete", *names).code == 0
        assert not rules.kept

    def test_what_cannot_be_deleted_has_a_remedy(self, sutler: Command) -> None:
        answer = sutler("delete", "machines/none", "--yes")
        assert answer.code == 1 and "ReturnMachines" in answer.err

    def test_what_a_file_describes_in_reverse_order(self, sutler: Command, rules: Rules, file: Path) -> None:
        keep(rules, "a", "b")
        file.write_text(RULE.replace("/a", "/b") + "subject: rules/a\n---\n" + RULE)
        assert sutler("delete", "-f", file, "--yes").code == 0
        assert rules.writes == ["delete rules/b", "delete rules/a"]

    def test_nothing_named(self, sutler: Command) -> None:
        assert sutler("delete").code == 2
