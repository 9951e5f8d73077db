from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from sutler.cli import main
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import Running

from tests.unit.cli.rules import Rules, served

RULE = "kind: sutler.rule.v1.Rule\nname: rules/a\n"


@dataclass(frozen=True)
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def yaml(self) -> Any:
        return YAML(typ="safe").load(self.out)


class Command:
    """Runs ``sutler`` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["sutler", *map(str, words)])
        self._capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        else:
            code = 0
        out, err = self._capsys.readouterr()
        return Answer(code, out, err)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SUTLER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def sutler(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


def keep(rules: Rules, *names: str, **fields: object) -> None:
    for name in names:
        rules.kept[f"rules/{name}"] = pb.Rule(name=f"rules/{name}", **fields)  # type: ignore[arg-type]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


@pytest.fixture
def rules() -> Rules:
    return Rules()


@pytest.fixture
def server(rules: Rules, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A server that commands find by SUTLER_ADDRESS."""
    with served(rules) as running:
        monkeypatch.setenv("SUTLER_ADDRESS", running.address)
        yield running
