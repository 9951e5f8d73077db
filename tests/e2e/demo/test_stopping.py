"""`make run` in the foreground, ended from elsewhere and by Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sutler.testing import free_ports, wait_blocking

from deploy.local.layout import AREAS, Layout
from deploy.local.manager import manager_pid

ROOT = Path(__file__).resolve().parents[3]
LOCAL = [sys.executable, "-m", "deploy.local"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": "libs:.", "COLUMNS": "200"}
SOON_SECONDS = 60
PARTS = {"sandbox", *AREAS, "gateway"}

pytestmark = [pytest.mark.xdist_group("demo"), pytest.mark.timeout(300)]


class Foreground:
    """A stack that runs in the foreground, with what it has printed."""

    def __init__(self, state: Path, **settings: str) -> None:
        first = free_ports(3 + len(AREAS))
        names = ("--gateway", "--sandbox", "--admin", "--services")
        ports = [word for number, name in enumerate(names) for word in (name, str(first + number))]
        self.layout = Layout(state)
        self._output = state.with_suffix(".out")
        with self._output.open("wb") as out:
            self.process = subprocess.Popen(
                [*LOCAL, "run", "--state", str(state), *ports],
                cwd=ROOT,
                env={**ENVIRONMENT, **settings},
                stdout=out,
                stderr=out,
            )

    @property
    def lines(self) -> list[str]:
        return self._output.read_text().splitlines()

    def wait_for(self, word: str) -> None:
        wait_blocking(lambda: any(word in line for line in self.lines), 120)

    def code(self) -> int:
        return self.process.wait(SOON_SECONDS)


def stop(state: Path, command: str = "stop") -> list[str]:
    """Returns what was printed."""
    line = [*LOCAL, command, "--state", str(state)]
    done = subprocess.run(
        line, cwd=ROOT, env=ENVIRONMENT, check=True, timeout=SOON_SECONDS, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()


def assert_shows_each_part(lines: list[str]) -> None:
    assert lines[0] == "stopping …"
    assert {line for line in lines if line.startswith("  ")} == {f"  down {name}" for name in PARTS}


@contextmanager
def running(made: Foreground) -> Iterator[Foreground]:
    try:
        yield made
    finally:
        stop(made.layout.state)
        made.process.terminate()
        made.code()


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator[Foreground]:
    with running(Foreground(tmp_path / "state")) as made:
        yield made


@pytest.fixture
def never_up(tmp_path: Path) -> Iterator[Foreground]:
    with running(Foreground(tmp_path / "state", SUTLER_CACHE_WORKERS="none")) as made:
        yield made


def test_it_ends_when_another_shell_stops_it(foreground: Foreground) -> None:
    foreground.wait_for("Ctrl-C")
    lines = stop(foreground.layout.state)
    assert_shows_each_part(lines)
    assert lines[-1] == "stopped"
    assert stop(foreground.layout.state) == ["nothing runs here"]
    assert foreground.code() == 0
    assert foreground.lines[-1] == "stopped"


def test_it_ends_when_it_is_stopped_while_it_starts(never_up: Foreground) -> None:
    wait_blocking(lambda: manager_pid(never_up.layout) is not None, SOON_SECONDS)
    stop(never_up.layout.state)
    assert never_up.code() == 0
    assert [line for line in never_up.lines if " up " not in f" {line} "] == ["stopped"]


def test_ctrl_c_ends_it_and_says_so(foreground: Foreground) -> None:
    foreground.wait_for("up sandbox")
    foreground.process.send_signal(signal.SIGINT)
    assert foreground.code() == 0
    assert_shows_each_part(foreground.lines[foreground.lines.index("stopping …") : -1])
    assert foreground.lines[-1] == "stopped"
    assert manager_pid(foreground.layout) is None


def test_clean_shows_what_it_does(foreground: Foreground) -> None:
    foreground.wait_for("Ctrl-C")
    lines = stop(foreground.layout.state, "clean")
    assert_shows_each_part(lines[:-3])
    assert lines[-3:] == ["ending machines …", "0 machines ended", f"removing {foreground.layout.state}"]
    assert not foreground.layout.state.exists()
    assert foreground.code() == 0


def test_a_manager_that_died_is_an_error(foreground: Foreground) -> None:
    foreground.wait_for("up sandbox")
    pid = manager_pid(foreground.layout)
    assert pid is not None
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    os.kill(pid, signal.SIGKILL)
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert foreground.code() == 1
    assert str(foreground.layout.manager_log) in foreground.lines[-1]
