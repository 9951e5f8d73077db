from __future__ import annotations

import re
from pathlib import Path

import sutler.testing
from sutler.errors import TABLE
from sutler.settings import ServerSettings

LIBS = Path(__file__).resolve().parents[3] / "libs"
TEXT = (LIBS / "README.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_module_is_named_and_every_named_one_exists() -> None:
    named = {name for row in rows(section("Modules")) for name in re.findall(r"`([^`]+)`", row[0])}
    modules = {path.stem for path in (LIBS / "sutler").glob("*.py") if path.stem != "__init__"}
    packages = {f"{path.parent.name}/" for path in (LIBS / "sutler").glob("*/__init__.py")}
    assert named == modules | packages


def test_every_shared_setting_is_listed_with_its_default_and_meaning() -> None:
    listed = {row[0].strip("`").lower(): row[1:] for row in rows(section("Settings that all services share"))}
    assert set(listed) == set(ServerSettings.model_fields)
    for name, field in ServerSettings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        default = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        assert listed[name] == [f"`{default}`" if default not in ("", None) else "", field.description], name


def test_every_error_is_listed() -> None:
    listed = {row[0].strip("`"): (row[1], row[2]) for row in rows(section("Errors"))}
    assert listed == {kind.__name__: (code.name, reason) for kind, (code, reason) in TABLE.items()}


def test_every_helper_for_tests_is_named() -> None:
    named = set(re.findall(r"\w+", section("Testing")))
    assert set(sutler.testing.__all__) - {"is_gone"} <= named


def test_decisions_are_numbered_and_short() -> None:
    decisions = re.split(r"^(?=\d+\. )", section("Decisions").strip(), flags=re.MULTILINE)
    found = [text for text in decisions if text.strip()]
    assert [int(text.partition(".")[0]) for text in found] == list(range(1, len(found) + 1))
    assert all(len(text.strip().splitlines()) <= 8 for text in found)
