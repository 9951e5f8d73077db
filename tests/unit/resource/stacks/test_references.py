"""References in strings: what they are, what they become, and what is none."""

from typing import Any

import pytest
from sutler.errors import Invalid

from services.resource.stacks.references import (
    Missing,
    NotYet,
    Reference,
    Resolution,
    follow,
    references,
)

KNOWN = {
    "members.a.name": "subscriptions/a",
    "members.a.outputs.n": 3,
    "members.a.outputs.flag": True,
    "members.a.outputs.list": [1, {"x": "${members.a.name}"}],
    "members.a.outputs": {"n": 3},
    "parameters.none": None,
}


def lookup(reference: Reference) -> Any:
    if reference.member == "later":
        raise NotYet
    if reference.text not in KNOWN:
        raise Missing("there is none")
    return KNOWN[reference.text]


def resolved(value: Any) -> tuple[Any, bool]:
    """Returns a value with its references replaced, and whether all are known."""
    resolution = Resolution(lookup)
    found = resolution.data(value, "f")
    resolution.end()
    return found, resolution.complete


def resolved_text(text: str) -> str:
    resolution = Resolution(lookup)
    found = resolution.text(text, "f")
    resolution.end()
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${members.a.name}", "subscriptions/a"),
        ("${members.a.outputs.n}", 3),
        ("${members.a.outputs.list}", [1, {"x": "${members.a.name}"}]),
        ("${members.a.outputs}", {"n": 3}),
        ("${parameters.none}", None),
        ("n=${members.a.outputs.n}, ${members.a.outputs.flag}", "n=3, true"),
        ("$${members.a.name}", "${members.a.name}"),
        ("$${x} ${members.a.outputs.n}", "${x} 3"),
        ("$$${members.a.name}", "$${members.a.name}"),
        ("costs $5 {or} $ {x}", "costs $5 {or} $ {x}"),
        ("$${", "${"),
    ],
)
def test_what_a_string_becomes(text: str, value: object) -> None:
    assert resolved(text) == (value, True)


def test_values_are_entered() -> None:
    value = {"a": ["${members.a.outputs.n}", {"b": "x${members.a.outputs.n}"}], "c": 1, "d": None}
    assert resolved(value) == ({"a": [3, {"b": "x3"}], "c": 1, "d": None}, True)


def test_texts_stay_texts() -> None:
    assert resolved_text("${members.a.outputs.n}") == "3"


@pytest.mark.parametrize("text", ["${members.later.name}", "x-${members.later.name}"])
def test_what_is_not_known_yet_stays(text: str) -> None:
    assert resolved({"a": text, "b": "${members.a.outputs.n}"}) == ({"a": text, "b": 3}, False)


@pytest.mark.parametrize("name", ["list", ""])
def test_no_object_stands_within_a_text(name: str) -> None:
    path = f"members.a.outputs.{name}".rstrip(".")
    for call in (lambda: resolved(f"x ${{{path}}}"), lambda: resolved_text(f"${{{path}}}")):
        with pytest.raises(Invalid) as caught:
            call()
        assert (caught.value.reason, caught.value.metadata["field"]) == ("FIELD_INVALID", "f")


def test_what_leads_nowhere() -> None:
    with pytest.raises(Invalid) as caught:
        resolved({"a": ["${members.a.outputs.x}"]})
    assert caught.value.reason == "REFERENCE_UNRESOLVED"
    assert caught.value.metadata == {"field": "f.a[0]", "target": "members.a.outputs.x"}


def test_all_that_leads_nowhere_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        resolved({"a": "${members.a.outputs.x}", "b": "x ${members.a.outputs}", "c": "${members.a.outputs.y}"})
    assert [(found.field, found.reason) for found in caught.value.violations] == [
        ("f.a", "REFERENCE_UNRESOLVED"),
        ("f.b", ""),
        ("f.c", "REFERENCE_UNRESOLVED"),
    ]
    assert caught.value.metadata["violations"] == "3"


def test_finding_them() -> None:
    value = {"a": "x ${members.m-1.outputs.b.c} ${parameters}", "b": ["$${members.no.name}", "${members.n.name}"]}
    assert list(references(value, "f")) == [
        ("f.a", Reference("members.m-1.outputs.b.c", "m-1", "outputs", ("b", "c"))),
        ("f.a", Reference("parameters", "", "parameters")),
        ("f.b[1]", Reference("members.n.name", "n", "name")),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${", "FIELD_INVALID"),
        ("${members.a.name", "FIELD_INVALID"),
        ("${members.${parameters.x}.name}", "FIELD_INVALID"),
        ("${}", "REFERENCE_UNRESOLVED"),
        ("${members}", "REFERENCE_UNRESOLVED"),
        ("${members.a}", "REFERENCE_UNRESOLVED"),
        ("${members.a.name.x}", "REFERENCE_UNRESOLVED"),
        ("${members.a.properties.x}", "REFERENCE_UNRESOLVED"),
        ("${members.a.outputs.}", "REFERENCE_UNRESOLVED"),
        ("${members.a b.name}", "REFERENCE_UNRESOLVED"),
        ("${ members.a.name }", "REFERENCE_UNRESOLVED"),
        ("${parameters..x}", "REFERENCE_UNRESOLVED"),
        ("${HOME}", "REFERENCE_UNRESOLVED"),
    ],
)
def test_what_is_no_reference(text: str, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        list(references([text], "f"))
    assert (caught.value.reason, caught.value.metadata["field"]) == (reason, "f[0]")


@pytest.mark.parametrize(("path", "value"), [("a.b.1", "y"), ("a.b.0", "x"), ("a", {"b": ["x", "y"]})])
def test_following_a_path(path: str, value: object) -> None:
    assert follow({"a": {"b": ["x", "y"]}}, tuple(path.split(".")), "it") == value


@pytest.mark.parametrize("path", ["b", "a.b.2", "a.b.-1", "a.b.x", "a.b.0.c"])
def test_a_path_that_leads_nowhere(path: str) -> None:
    with pytest.raises(Missing):
        follow({"a": {"b": ["x", "y"]}}, tuple(path.split(".")), "it")
