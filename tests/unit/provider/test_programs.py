"""Which programs the operator allows, and what goes round that."""

import os
from pathlib import Path

import pytest

from services.provider.adapters.process.programs import Programs
from services.provider.adapters.process.spec import template_violations
from services.provider.templates import ProcessSpec, Template


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder of the operator's tools: ``run``, a link to it, and a link to a shell."""
    folder = tmp_path / "tools"
    folder.mkdir()
    program(folder / "run")
    (folder / "link").symlink_to("run")
    (folder / "shell").symlink_to(os.path.realpath("/bin/sh"))
    (tmp_path / "way").symlink_to(folder)
    return folder


def program(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("/opt/tools/run", True),
        ("sleep", True),
        ("/bin/sh", False),
        ("sh", False),
        ("/opt/tools/../../bin/sh", False),
        ("/opt/tools/{{ tags.x }}", False),
        ("./sleep", False),
        ("tools/sleep", False),
        ("//opt/tools/run", False),
    ],
)
def test_only_programs_that_the_operator_allows(name: str, allowed: bool) -> None:
    assert Programs(["/opt/tools/*", "sleep"]).allows(name) is allowed
    assert Programs(["*"]).allows(name)


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("{tools}/*", "{tools}/run", True),
        ("{tools}/*", "{tools}/link", True),
        ("{tools}/*", "{tools}/shell", False),
        ("{tools}/shell", "{tools}/shell", True),
        ("{tools}/[rl]un", "{tools}/run", True),
        ("{tools}/../way/*", "{tools}/run", False),
        ("{way}/*", "{way}/run", True),
        ("{way}/*", "{way}/shell", False),
        ("{way}/*", "{tools}/run", False),
    ],
)
def test_the_real_file_counts(tools: Path, pattern: str, name: str, allowed: bool) -> None:
    names = {"tools": tools, "way": tools.parent / "way"}
    assert Programs([pattern.format(**names)]).allows(name.format(**names)) is allowed


def test_a_name_is_looked_up_where_the_operator_says(tools: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    program(mine / "run")
    programs = Programs(["r*", "link", "none"], str(tools))
    assert programs.find("run") == programs.find("link") == os.path.realpath(tools / "run")
    assert programs.find("none") is None
    assert programs.path_for(str(mine)) == str(tools)
    every = Programs(["*"], str(tools))
    assert (every.find("run"), every.path_for(str(mine))) == ("run", str(mine))


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "BASH_ENV", "PERL5OPT", "NODE_OPTIONS"]
)
def test_variables_that_load_code_are_refused_unless_all_programs_are_allowed(name: str) -> None:
    template = Template(process=ProcessSpec(command=("sleep", "1"), environment={name: "/tmp/x", "ORDER": "30"}))
    found = [(v.field, v.reason) for v in template_violations(template, Programs(["sleep"]))]
    assert found == [(f"process.environment['{name}']", "VARIABLE_NOT_ALLOWED")]
    assert list(template_violations(template, Programs())) == []
