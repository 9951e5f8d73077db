from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.cli.conftest import RULE, Command, Terminal
from tests.unit.cli.rules import Rules


@pytest.mark.usefixtures("server")
class TestApply:
    def test_creates_changes_and_leaves_alone(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(RULE + "display_name: first\n")
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (0, ["put rules/a"])
        assert "+ rules/a" in answer.out and "✓ rules/a created" in answer.out
        again = sutler("apply", "-f", file, "--yes")
        assert (again.code, rules.writes) == (0, ["put rules/a"])
        assert "nothing to change" in again.out
        file.write_text(RULE + "display_name: second\n")
        changed = sutler("apply", "-f", file, "--yes")
        assert rules.kept["rules/a"].display_name == "second"
        assert "~ rules/a" in changed.out and "display_name: first → second" in changed.out

    def test_diff_changes_nothing(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(RULE + "display_name: first\n")
        answer = sutler("apply", "-f", file, "--diff")
        assert (answer.code, rules.writes) == (0, [])
        assert "display_name: (none) → first" in answer.out and "1 of 1 would change" in answer.out

    def test_in_order_also_what_can_be_checked_only_later(self, sutler: Command, rules: Rules, file: Path) -> None:
        needs = RULE.replace("/a", "/b") + "description: needs rules/a\nsubject: rules/a\n"
        file.write_text(needs + "---\n" + RULE)
        answer = sutler("apply", "-f", file, "--yes")
        assert answer.code == 0, answer.err
        assert rules.writes == ["put rules/a", "put rules/b"]
        assert "rules/b (checked when it is applied)" in answer.out

    def test_a_folder(self, sutler: Command, rules: Rules, tmp_path: Path) -> None:
        for name in "ab":
            (tmp_path / f"{name}.yaml").write_text(RULE.replace("/a", f"/{name}"))
        assert sutler("apply", "-f", tmp_path, "--yes").code == 0
        assert set(rules.kept) == {"rules/a", "rules/b"}

    def test_refused_before_anything_is_changed(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(RULE + "---\n" + RULE.replace("/a", "/b") + '"on": [bad]\n')
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (1, [])
        for word in ("[FIELD_INVALID]", "rule.on[0]: is bad", "rule.when: is bad too"):
            assert word in answer.err
        assert "Traceback" not in answer.err

    def test_problems_of_documents(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(RULE + "colour: red\npriority: high\n")
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (1, [])
        assert f"{file}:3:1" in answer.err and f"{file}:4:1" in answer.err

    def test_names_that_look_like_markup(self, sutler: Command, file: Path) -> None:
        file.write_text(RULE.replace("rules/a", "'rules/[/x]'"))
        answer = sutler("apply", "-f", file, "--yes")
        assert answer.code == 1
        assert "FIELD_INVALID" in answer.err and "Traceback" not in answer.err

    def test_without_a_file(self, sutler: Command) -> None:
        assert sutler("apply").code == 2
        assert sutler("apply", "-f", "/none.yaml").code == 1
        misplaced = sutler("apply", "rules.yaml")
        assert misplaced.code == 2 and "-f rules.yaml" in misplaced.err

    @pytest.mark.parametrize("text", ["", "---\n", "# nothing\n"])
    def test_no_document(self, sutler: Command, file: Path, text: str) -> None:
        file.write_text(text)
        answer = sutler("apply", "-f", file, "--yes")
        assert answer.code == 2 and "no document" in answer.err and str(file) in answer.err

    def test_needs_a_terminal_or_yes(
        self, sutler: Command, rules: Rules, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text(RULE)
        answer = sutler("apply", "-f", file)
        assert (answer.code, rules.writes) == (2, [])
        assert "--yes" in answer.err and "+ rules/a" in answer.out
        monkeypatch.setattr("sys.stdin", Terminal("n\n"))
        assert (sutler("apply", "-f", file).code, rules.writes) == (1, [])
        monkeypatch.setattr("sys.stdin", Terminal("y\n"))
        assert (sutler("apply", "-f", file).code, rules.writes) == (0, ["put rules/a"])
        monkeypatch.setattr("sys.stdin", io.StringIO())
        assert sutler("apply", "-f", file).code == 0

    def test_every_refusal_with_its_document(self, sutler: Command, rules: Rules, file: Path) -> None:
        bad = '"on": [bad]\n'
        file.write_text("---\n".join(RULE.replace("/a", f"/{name}") + bad for name in "ab"))
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (1, [])
        assert f"{file}:1 sutler.rule.v1.Rule rules/a: " in answer.err
        assert f"{file}:5 sutler.rule.v1.Rule rules/b: " in answer.err
        assert answer.err.count("rule.on[0]: is bad") == 2

    def test_what_is_refused_while_applying_has_its_document(self, sutler: Command, rules: Rules, file: Path) -> None:
        needs = RULE.replace("/a", "/b") + "description: needs rules/none\nsubject: rules/a\n"
        file.write_text(RULE + "---\n" + needs)
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (1, ["put rules/a"])
        assert f"{file}:4 sutler.rule.v1.Rule rules/b: rules/none" in answer.err

    def test_what_was_got_is_not_to_change(
        self, sutler: Command, rules: Rules, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file.write_text(
            RULE + "actions:\n  - id: a\n    set_property: {property: at, value: {n: [1, 2.5, null]}}\n---\n"
            "kind: sutler.rule.v1.Rule\nname: rules/b\nretry: {max_backoff: 2s}\n"
        )
        assert sutler("apply", "-f", file, "--yes").code == 0
        rules.kept["rules/a"].create_time.FromSeconds(1)
        for what in ("rules/a", "rules"):
            got = sutler("get", what, "-o", "yaml").out
            assert got.startswith("kind: sutler.rule.v1.Rule\nname: rules/a\n")
            monkeypatch.setattr("sys.stdin", io.StringIO(got))
            again = sutler("apply", "-f", "-")
            assert again.code == 0 and "nothing to change" in again.out, again.err
        assert len(rules.writes) == 2


@pytest.mark.usefixtures("server")
class TestOperations:
    RESOURCE = "kind: sutler.resource.v1.Resource\nname: subscriptions/{}\ntype: Sutler.Resource/subscriptions\n"

    def test_are_waited_for(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(self.RESOURCE.format("s"))
        assert sutler("apply", "-f", file, "--yes").code == 0
        assert sutler("get", "subscriptions/s", "-o", "json").json["name"] == "subscriptions/s"
        assert "nothing to change" in sutler("apply", "-f", file, "--yes").out
        assert sutler("delete", "-f", file, "--yes").code == 0
        assert rules.writes == ["put subscriptions/s", "delete subscriptions/s"]

    def test_one_that_fails_ends_the_command(self, sutler: Command, rules: Rules, file: Path) -> None:
        file.write_text(self.RESOURCE.format("bad") + "---\n" + RULE + "subject: subscriptions/bad\n")
        answer = sutler("apply", "-f", file, "--yes")
        assert (answer.code, rules.writes) == (1, ["put subscriptions/bad"])
        assert "STATE_INVALID" in answer.err
