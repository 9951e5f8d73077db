"""The one list of services, and the ports: what does not fit is told at once, in one line."""

import json
import socket
from pathlib import Path

import pytest
from sutler.testing import free_ports

from deploy.envoy.descriptors import gateway_services
from deploy.local import layout, manager
from deploy.local.layout import AREAS, Layout, Ports, check_areas
from deploy.local.manager import StackError
from deploy.local.programs import programs

ROOT = Path(__file__).resolve().parents[3]
CONTRACTS = set(gateway_services().values())


def test_every_service_is_listed() -> None:
    folders = {file.parent.name for file in (ROOT / "services").glob("*/__main__.py")}
    assert set(AREAS) == folders, f"deploy/local/layout.py: AREAS and services/ differ in {set(AREAS) ^ folders}"
    check_areas(CONTRACTS)


def problem(contracts: set[str]) -> str:
    with pytest.raises(ValueError) as caught:
        check_areas(contracts)
    text = str(caught.value)
    file, line, _ = text.split(":", 2)
    assert (ROOT / file).read_text().splitlines()[int(line) - 1].startswith("AREAS = ")
    assert "\n" not in text
    return text


def test_what_is_not_listed_is_told_with_the_line_to_change() -> None:
    assert 'add "widget"' in problem(CONTRACTS | {"widget"})


def test_what_is_listed_but_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "AREAS", (*AREAS, "widget"))
    assert "protos/sutler/widget/v1" in problem(CONTRACTS)
    assert "services/widget/__main__.py" in problem(CONTRACTS | {"widget"})


def test_a_new_service_gets_the_next_port_and_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wider = (*AREAS, "widget")
    monkeypatch.setattr("deploy.local.layout.AREAS", wider)
    monkeypatch.setattr("deploy.local.programs.AREAS", wider)
    assert Ports().of("widget") == 50056
    made = {program.name: program for program in programs(Layout(tmp_path), Ports())}["widget"]
    assert made.command[-1] == "services.widget"
    assert made.environment["SUTLER_WIDGET_PORT"] == "50056"


def test_rules_may_call_every_service(tmp_path: Path) -> None:
    rule = {program.name: program for program in programs(Layout(tmp_path), Ports())}["rule"]
    targets = json.loads(rule.environment["SUTLER_RULE_TARGETS"])
    assert targets == {name: f"127.0.0.1:{Ports().of(area)}" for name, area in gateway_services().items()}


@pytest.mark.parametrize(
    ("ports", "named"),
    [
        (Ports(gateway=50052), ("50052", "gateway", "cache")),
        (Ports(sandbox=9901), ("9901", "sandbox", "admin")),
        (Ports(gateway=70_000), ("70000", "gateway")),
        (Ports(admin=0), ("0", "admin")),
        (Ports(services=65_534), ("65536", "erp")),
    ],
    ids=str,
)
def test_ports_that_cannot_be_are_refused_before_anything_starts(
    ports: Ports, named: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(StackError) as caught:
        manager.start(Layout(tmp_path / "state"), ports)
    assert all(word in str(caught.value) for word in named)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "state").exists()


def free() -> Ports:
    first = free_ports(3 + len(AREAS))
    return Ports(gateway=first, sandbox=first + 1, admin=first + 2, services=first + 3)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    ports = free()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.gateway))
        taken.listen()
        with pytest.raises(StackError, match=f"port {ports.gateway} "):
            manager.start(Layout(tmp_path / "state"), ports)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match="file/state"):
        manager.start(Layout(tmp_path / "file/state"), free())
