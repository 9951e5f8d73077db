"""What fills in what a template leaves unset, and its variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.provider.expansion import expand, unknown_variables
from services.provider.templates import Output, ProcessSpec, Template, effective

DEFAULTS = Template(
    api="spawn",
    tags={"a": "default", "b": "default"},
    process=ProcessSpec(command=("run",), environment={"X": "1"}, stop_signal="SIGTERM", stop_grace=10.0),
)


def test_what_is_set_stays_and_what_is_not_is_filled_in() -> None:
    own = Template(tags={"a": "own"}, process=ProcessSpec(environment={"Y": "2"}, stop_grace=0.0, open_files=5))
    whole = effective(own, [Template(max_count=3, process=ProcessSpec(stop_signal="SIGINT")), DEFAULTS])
    assert whole.api == "spawn"
    assert whole.max_count == 3
    assert whole.tags == {"a": "own", "b": "default"}
    assert whole.process == ProcessSpec(
        command=("run",),
        environment={"X": "1", "Y": "2"},
        open_files=5,
        output=Output(),
        stop_signal="SIGINT",
        stop_grace=0.0,
    )


def test_the_defaults_of_the_provider_go_before_those_of_the_type() -> None:
    whole = effective(Template(), [Template(tags={"a": "provider"}), DEFAULTS])
    assert whole.tags == {"a": "provider", "b": "default"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ machine_request }}", "r1"),
        ("{{template}}-{{ provider }}", "small-lab"),
        ("{{ tags.size }}/{{ tags.none }}", "xl/"),
        ("{ machine_request }", "{ machine_request }"),
    ],
)
def test_variables(text: str, expected: str) -> None:
    values = {"machine_request": "r1", "template": "small", "provider": "lab"}
    assert expand(text, values, {"size": "xl"}) == expected


def test_unknown_variables_are_found() -> None:
    assert unknown_variables("{{ machine }} {{ tags.x }} {{ provider }} {{ }}") == ["machine", ""]


@given(st.text())
def test_what_is_filled_in_is_not_filled_in_again(value: str) -> None:
    assert expand("{{ template }}", {"template": value}, {}) == value
