"""What a template may ask of type ``process``."""

import pytest
from sutler.errors import Invalid

from services.provider.adapters.process.programs import Programs
from services.provider.adapters.process.spec import (
    checked_config,
    facts,
    grace,
    read_config,
    signal_number,
    template_violations,
)
from services.provider.templates import ProcessSpec, Template, effective


def test_the_defaults_are_a_valid_template() -> None:
    found = facts()
    for template in (Template(), *found.example_templates):
        assert list(template_violations(effective(template, [found.template_defaults]), Programs())) == []


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (ProcessSpec(), "process.command"),
        (ProcessSpec(command=("",)), "process.command"),
        (ProcessSpec(command=("a", "b\0")), "process.command[1]"),
        (ProcessSpec(command=("a",), environment={"A=B": ""}), "process.environment['A=B']"),
        (ProcessSpec(command=("a",), working_directory="relative"), "process.working_directory"),
        (ProcessSpec(command=("a",), stop_signal="SIGNOTHING"), "process.stop_signal"),
        (ProcessSpec(command=("a",), stop_grace=3601.0), "process.stop_grace_duration"),
    ],
)
def test_what_is_wrong_is_named(spec: ProcessSpec, field: str) -> None:
    assert [v.field for v in template_violations(Template(process=spec), Programs())] == [field]


def test_the_config_has_defaults_and_a_schema_that_says_them() -> None:
    config = read_config({})
    assert (config.timeout, config.max_retries) == (30.0, 3)
    schema = facts().config_schema
    assert {name: p["default"] for name, p in schema["properties"].items()} == config.model_dump()
    with pytest.raises(Invalid) as refused:
        read_config({"timeout": 0, "max_retries": 4, "colour": 1})
    assert refused.value.reason == "CONFIG_INVALID"
    assert {v.field for v in refused.value.violations} == {
        "provider.config.timeout",
        "provider.config.max_retries",
        "provider.config.colour",
    }


def test_only_the_operator_says_where_programs_are_unless_all_are_allowed() -> None:
    some = Programs(["sleep"], "/opt/bin")
    assert checked_config({}, some).path == checked_config({"path": "/opt/bin"}, some).path == "/opt/bin"
    with pytest.raises(Invalid) as refused:
        checked_config({"path": "/tmp/mine"}, some)
    assert refused.value.reason == "CONFIG_INVALID"
    assert [(v.field, v.reason) for v in refused.value.violations] == [("provider.config.path", "PATH_NOT_ALLOWED")]
    every = Programs(["*"], "/opt/bin")
    assert checked_config({"path": "/tmp/mine"}, every).path == "/tmp/mine"
    assert checked_config({}, every).path == facts("/opt/bin").config_schema["properties"]["path"]["default"]


def test_signals_and_graces() -> None:
    assert (signal_number("SIGTERM"), signal_number("TERM")) == (15, None)
    assert grace(Template()) == 10.0
    assert grace(Template(process=ProcessSpec(stop_grace=0.0))) == 0.0
