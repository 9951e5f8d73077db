"""What make does to a checkout, in a copy of it whose packages are those that run this test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PARTS = ("Makefile", "pyproject.toml", "protos", "libs", "services", "deploy")
VALIDATE = ".build/include/buf"
"""What gen.py would download."""

MADE = (
    ".build/sutler.binpb",
    ".build/envoy.json",
    "libs/buf/validate/validate_pb2.py",
    "libs/sutler/erp/v1/erp_pb2.py",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, tmp_path / part)
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / ".venv/.ready").touch()
    return tmp_path


def run(checkout: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "libs:."}
    return subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)


def test_setup_makes_again_whatever_clean_removed(checkout: Path) -> None:
    assert run(checkout, "make", "clean").returncode == 0
    assert not [file for file in MADE if (checkout / file).exists()]
    shutil.copytree(ROOT / VALIDATE, checkout / VALIDATE)
    done = run(checkout, "make", "setup")
    assert done.returncode == 0, done.stderr
    assert not [file for file in MADE if not (checkout / file).exists()]
    shutil.rmtree(checkout / "libs/sutler/erp/v1")
    shutil.rmtree(checkout / "libs/sutler/type/v1")
    assert run(checkout, "make", "setup").returncode == 0
    assert not [file for file in MADE if not (checkout / file).exists()]
    assert run(checkout, "make", "--question", "setup").returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "services.cache", "--help"),
        ("-m", "services.erp.sandbox", "--help"),
        ("-c", "from sutler.cli import main; main()", "get", "caches"),
    ],
)
def test_without_stubs_a_program_says_what_to_do(checkout: Path, command: tuple[str, ...]) -> None:
    assert run(checkout, "make", "clean").returncode == 0
    done = run(checkout, sys.executable, *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["the stubs of the contracts are not there: run `make setup`"]
