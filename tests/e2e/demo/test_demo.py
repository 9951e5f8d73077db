"""The main job, as a user runs it: a real stack of processes, from a confirmed order to the note in the ERP."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sutler.testing import free_ports

from deploy.local.layout import AREAS

ROOT = Path(__file__).resolve().parents[3]
LOCAL = [sys.executable, "-m", "deploy.local"]

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def flags(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    where = ["--state", str(tmp_path_factory.mktemp("demo"))]
    first = free_ports(3 + len(AREAS))
    names = ("--gateway", "--sandbox", "--admin", "--services")
    yield [*where, *(word for number, name in enumerate(names) for word in (name, str(first + number)))]
    subprocess.run([*LOCAL, "clean", *where], cwd=ROOT, check=True, timeout=120)


def play(*arguments: str) -> str:
    process = subprocess.Popen(
        [*LOCAL, "demo", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    try:
        output, _ = process.communicate(timeout=500)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def test_orders_become_machines_and_the_erp_is_told(flags: list[str]) -> None:
    output = play(*flags, "--orders", "2")
    assert "it has 1, and the ERP knows" in output
    assert "machines are gone" in output


def test_a_second_time(flags: list[str]) -> None:
    output = play(*flags, "--orders", "1")
    assert "nothing to change" in output, output


def test_nothing_is_lost_or_doubled_when_parts_are_killed(flags: list[str]) -> None:
    seed = str(random.randrange(1_000_000))
    print(f"seed {seed}")
    assert "killed:" in play(*flags, "--kill", "--kills", "5", "--orders", "6", "--seed", seed)


@pytest.mark.crash
@pytest.mark.parametrize("round_", range(10))
def test_nothing_is_lost_or_doubled_while_parts_are_killed_all_the_time(flags: list[str], round_: int) -> None:
    seed = os.environ.get("SEED") or str(random.randrange(1_000_000))
    print(f"round {round_}: seed {seed}")
    assert "killed:" in play(*flags, "--kill", "--seed", seed)
