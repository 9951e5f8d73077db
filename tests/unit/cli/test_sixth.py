"""A service that is made by the recipe needs nothing but its contract to work with the command."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grpc_tools import protoc  # type: ignore[import-untyped]

from tests.contract.compiling import README, generator

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = Path(__file__).with_name("widgets.py")


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A library with the contract of widgets beside those of the others."""
    gen, proto = generator(), tmp_path / "protos/sutler/widget/v1/widget.proto"
    proto.parent.mkdir(parents=True)
    example = re.search(r"^```proto\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    assert example is not None
    proto.write_text(example[1])
    folder = tmp_path / "libs"
    (folder / "sutler").mkdir(parents=True)
    for path in (ROOT / "libs/sutler").iterdir():
        (folder / "sutler" / path.name).symlink_to(path)
    includes = [f"-I{place}" for place in (tmp_path / "protos", gen.PROTOS, gen.INCLUDE, gen.well_known())]
    outputs = [f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(["protoc", *includes, *outputs, "sutler/widget/v1/widget.proto"]) == 0
    return folder


def test_get_apply_delete_and_status(library: Path, tmp_path: Path) -> None:
    file = tmp_path / "widget.yaml"
    file.write_text("kind: sutler.widget.v1.Widget\nname: widgets/a\nsize: 7\n")
    lines = [
        f"apply -f {file} --yes",
        "get widgets",
        "get widgets/a -o json",
        "status -o json",
        "delete widgets/a --yes",
        "get widget",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUTLER_")}
    environment["PYTHONPATH"] = os.pathsep.join((str(library), str(ROOT / "libs"), str(ROOT)))
    done = subprocess.run([sys.executable, str(PROGRAM), *lines], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = dict(zip(lines, json.loads(done.stdout), strict=True))
    assert [code for code, _ in answers.values()] == [0, 0, 0, 1, 0, 1]
    assert "widgets/a" in answers["get widgets"][1]
    assert json.loads(answers["get widgets/a -o json"][1]) == {"name": "widgets/a", "size": 7}
    states = {row["service"]: row["state"] for row in json.loads(answers["status -o json"][1])}
    assert len(states) == 6 and {area for area, state in states.items() if state == "SERVING"} == {"widget"}
    assert "did you mean widgets?" in answers["get widget"][1]
