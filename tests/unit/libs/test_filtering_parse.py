"""What the language says, what it refuses and where, and its bounds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.errors import Code, Invalid
from sutler.filtering import (
    MAX_BYTES,
    MAX_DEPTH,
    And,
    Compare,
    Field,
    Has,
    Kind,
    Match,
    Not,
    Op,
    Or,
    Pattern,
    Present,
    Ref,
    Schema,
    Type,
    parse,
)

FIELDS = {
    "name": Field(Kind.STRING, "name"),
    "size": Field(Kind.INT, "size"),
    "ratio": Field(Kind.DOUBLE, "ratio"),
    "done": Field(Kind.BOOL, "done"),
    "create_time": Field(Kind.TIME, "create_time"),
    "ttl": Field(Kind.DURATION, "ttl"),
    "state": Field(Kind.ENUM, "state", values={"RUNNING": 1, "STOPPED": 2}),
    "labels": Field(Kind.STRING_LIST, "labels"),
    "tags": Field(Kind.STRING_MAP, "tags"),
    "properties": Field(Kind.OPEN, "properties"),
    "errors": Field(Kind.WHOLE, "errors"),
}
SCHEMA = Schema(FIELDS)


def ref(*path: str) -> Ref:
    return Ref(path, FIELDS[path[0]], path[1:])


def size(value: int, op: Op = Op.EQ) -> Compare:
    return Compare(ref("size"), op, value, Type.INTEGER)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_filter_passes_everything(text: str) -> None:
    wanted = parse(text, SCHEMA)
    assert wanted.root == And(())
    assert wanted.sql("sqlite") == ("TRUE", ())
    assert wanted.predicate()({}) is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("size=1 AND size=2 OR size=3", And((size(1), Or((size(2), size(3)))))),
        ("size=1 OR size=2 AND size=3", And((Or((size(1), size(2))), size(3)))),
        ("(size=1 AND size=2) OR size=3", Or((And((size(1), size(2))), size(3)))),
        ("NOT size=1 OR size=2", Or((Not(size(1)), size(2)))),
        ("-size=1 AND NOT (size=2 OR size=3)", And((Not(size(1)), Not(Or((size(2), size(3))))))),
        ("NOT(size=1)AND(size=2)", And((Not(size(1)), size(2)))),
        ("size=1 AND (size=2 AND size=3)", And((size(1), size(2), size(3)))),
        ("((size=1))", size(1)),
        ("size!=-1", Not(size(-1))),
        ("size\n>=\t+7", size(7, Op.GE)),
        ("size:7", size(7)),
        ("size < 9223372036854775807", size(2**63 - 1, Op.LT)),
    ],
)
def test_groups_and_precedence(text: str, expected: Any) -> None:
    assert parse(text, SCHEMA).root == expected


def compare(path: tuple[str, ...], value: Any, kind: Type) -> Compare:
    return Compare(ref(*path), Op.EQ, value, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ratio = .5e1", compare(("ratio",), 5.0, Type.NUMBER)),
        ("done = true", compare(("done",), True, Type.BOOL)),
        ("state = RUNNING", compare(("state",), 1, Type.INTEGER)),
        ("state:STOPPED", compare(("state",), 2, Type.INTEGER)),
        ("ttl = 1.5s", compare(("ttl",), 1.5, Type.NUMBER)),
        ("create_time = 1970-01-01T01:00:00.25+01:00", compare(("create_time",), 0.25, Type.NUMBER)),
        ("create_time = '1970-01-02t00:00:00z'", compare(("create_time",), 86400.0, Type.NUMBER)),
        ("create_time = 1969-12-31T23:59:59.000000001Z", compare(("create_time",), -1 + 1e-9, Type.NUMBER)),
        ("name = a/b:c-d", compare(("name",), "a/b:c-d", Type.TEXT)),
        ("name = true", compare(("name",), "true", Type.TEXT)),
        (r'name = "a\"b\\c\'\*"', compare(("name",), "a\"b\\c'*", Type.TEXT)),
        ("name = 'a \"b\" *c d'", compare(("name",), 'a "b" *c d', Type.TEXT)),
        ("tags.env = prod", compare(("tags", "env"), "prod", Type.TEXT)),
        ("tags.\"app.io/name\" = 'x'", compare(("tags", "app.io/name"), "x", Type.TEXT)),
        (r'tags."a\"b" = x', compare(("tags", 'a"b'), "x", Type.TEXT)),
        ("properties.größe.2x = 5", compare(("properties", "größe", "2x"), 5.0, Type.NUMBER)),
        ('properties.a = "5"', compare(("properties", "a"), "5", Type.TEXT)),
        ("properties.a = false", compare(("properties", "a"), False, Type.BOOL)),
        ("properties.a = 1.2.3", compare(("properties", "a"), "1.2.3", Type.TEXT)),
        ("name = a*", Match(ref("name"), Pattern("a", leading=False, trailing=True))),
        ("name = '*a*b'", Match(ref("name"), Pattern("a*b", leading=True, trailing=False))),
        ("name = *", Match(ref("name"), Pattern("", leading=True, trailing=False))),
        (r"name = '\**'", Match(ref("name"), Pattern("*", leading=False, trailing=True))),
        ("name:*a*", Match(ref("name"), Pattern("a", leading=True, trailing=True))),
        ("name:*", Present(ref("name"))),
        ("properties.a.b:*", Present(ref("properties", "a", "b"))),
        ("errors:*", Present(ref("errors"))),
        ("labels:a", Has(ref("labels"), "a", Type.TEXT)),
        ("labels:a*", Has(ref("labels"), Pattern("a", leading=False, trailing=True), Type.TEXT)),
        ("tags:env", Has(ref("tags"), "env", Type.TEXT)),
        ("tags.env:x", compare(("tags", "env"), "x", Type.TEXT)),
        ("properties:5", Has(ref("properties"), 5.0, Type.NUMBER)),
    ],
)
def test_values_and_paths(text: str, expected: Any) -> None:
    assert parse(text, SCHEMA).root == expected


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("foo", 4),
        ('"foo"', 6),
        ("name = ", 8),
        ("name = a b", 10),
        ("(name = a", 10),
        ("name = a)", 9),
        ("f(x)", 2),
        ('name = "a', 8),
        ("name = a AND", 13),
        ("AND size=1", 1),
        ("size=1 size=2", 8),
        ("size=1 ANDsize=2", 8),
        ("size=1 OR OR size=2", 11),
        ("NOT NOT size=1", 5),
        ("a==1", 3),
        ("name:a,b", 7),
        ("size = (1)", 8),
        ("*", 1),
        ("name = é AND ?", 14),
        ("colour = 1", 1),
        ("size=1 AND colour = 1", 12),
        ("name.x = 1", 1),
        ("tags.a.b = 1", 1),
        ("size = 1.5", 8),
        ("size = 1e3", 8),
        ("size = 9223372036854775808", 8),
        ("size = " + "9" * 4000, 8),
        ("size = *", 8),
        ("ratio = x", 9),
        ("ratio = 1e999", 9),
        ("ratio = NaN", 9),
        ("done = TRUE", 8),
        ("done > true", 8),
        ("state = RUN", 9),
        ("state = RUN*", 9),
        ("state < RUNNING", 9),
        ("ttl = 5", 7),
        ("ttl = 5m", 7),
        ("create_time = 2026-01-31", 15),
        ("create_time = 2026-02-30T00:00:00Z", 15),
        ("create_time = '2026-01-31T00:00:00'", 15),
        ("create_time = 2026-01-31T00:00:00+99:00", 15),
        ("create_time > 5", 15),
        ("labels = a", 10),
        ("labels < a", 10),
        ("tags != a", 9),
        ('name > "a*"', 8),
        ("size=1 AND errors.code = 1", 12),
        ("errors = 1", 10),
        ("errors:a", 8),
        ("errors:a*", 8),
        ('errors:"*"', 8),
        ("properties.a > true", 16),
        ("properties.a = null", 16),
        ("properties.a = 1e999", 16),
        (r'name = "ab\n"', 11),
        (r'tags."a\n" = 1', 8),
        ('name = "a\0"', 10),
        ("properties" + ".a" * 32 + " = 1", 1),
    ],
)
def test_errors_tell_the_position(text: str, position: int) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, SCHEMA)
    error = caught.value
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "FILTER_INVALID")
    assert (error.metadata["field"], error.metadata["position"]) == ("filter", str(position))
    assert [violation.field for violation in error.violations] == ["filter"]
    # Errors travel in headers.
    assert len(error.message) + sum(len(value) for value in error.metadata.values()) < 700


def test_unknown_fields_are_told_with_those_that_there_are() -> None:
    with pytest.raises(Invalid) as caught:
        parse("colour = 1", SCHEMA)
    told = set(caught.value.message.partition("; there is ")[2].partition(", at position")[0].split(", "))
    assert {"name", "size", "tags.KEY", "properties.KEY"} <= told
    assert len(told) == len(SCHEMA.fields)


@pytest.mark.parametrize(
    ("text", "expected", "found"),
    [
        ("name == a", "a value", "'='"),
        ("name = a AND (", "a field or NOT or - or (", "the end"),
        ("name a", "one of = != < <= > >= :", "'a'"),
    ],
)
def test_errors_tell_what_is_expected_and_what_stands_there(text: str, expected: str, found: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, SCHEMA)
    assert (caught.value.metadata["expected"], caught.value.metadata["found"]) == (expected, found)


@given(st.text(alphabet="ab=!<>:()\"'\\*-. \nANDORNOT1é\0", max_size=30))
@settings(max_examples=1500)
def test_no_text_breaks_the_parser(text: str) -> None:
    schema = Schema({"a": Field(Kind.STRING, "a"), "b": Field(Kind.OPEN, "b")})
    refused = None
    try:
        compiled, params = parse(text, schema).sql("sqlite")
    except Invalid as error:
        refused = error
    if refused is None:
        assert compiled.count("?") == len(params)
    else:
        assert refused.reason == "FILTER_INVALID"
        assert 1 <= int(refused.metadata["position"]) <= len(text) + 1


def test_a_filter_has_at_most_4_kib() -> None:
    longest = "name = " + "é" * ((MAX_BYTES - 7) // 2)
    assert parse(longest, SCHEMA).root == compare(("name",), longest[7:], Type.TEXT)
    with pytest.raises(Invalid) as caught:
        parse(longest + "éé", SCHEMA)
    assert caught.value.metadata["position"] == str(len(longest) + 1)
    assert caught.value.metadata["limit_bytes"] == str(MAX_BYTES)


def nested(leaf: str, depth: int) -> str:
    text = leaf
    for level in range(depth):
        text = f"size=1 OR {text}" if level % 2 else f"-({text})" if level % 4 else f"(size=1 AND ({text}))"
    return text


def test_depth_is_bounded() -> None:
    for text in (nested("size=1", MAX_DEPTH + 1), "-(" * 1300 + "size=1" + ")" * 1300):
        with pytest.raises(Invalid) as caught:
            parse(text, SCHEMA)
        assert caught.value.metadata["limit"] == str(MAX_DEPTH)
    assert parse("(" * 2000 + "size=1" + ")" * 2000, SCHEMA).root == size(1)


@pytest.mark.parametrize(
    "text",
    [
        nested('properties."é"."x y" : "*a*"', MAX_DEPTH),
        nested("properties" + '."é"' * 31 + ':"*a*"', MAX_DEPTH),
        nested("properties" + ".a" * 31 + ':"*a*"', MAX_DEPTH),
        " OR ".join(["size:*"] * 400),
        " AND ".join(["-name=a*"] * 300),
    ],
)
def test_what_the_bounds_allow_is_not_too_much_for_sqlite(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (name TEXT, size INTEGER, properties TEXT) STRICT")
    condition, params = parse(text, SCHEMA).sql("sqlite")
    inner = f"SELECT * FROM t WHERE name = 'x' AND (size = 1 OR ({condition}))"
    assert connection.execute(f"SELECT * FROM ({inner}) WHERE size IN (SELECT size FROM t)", params).fetchall() == []
    connection.close()


def test_nothing_of_the_caller_is_in_the_sql() -> None:
    wanted = parse("""name = "x'--" AND properties."k'\\"--" = "v'" AND tags."t'" = u AND labels:"l'*" """, SCHEMA)
    for dialect in ("sqlite", "postgresql"):
        text, params = wanted.sql(dialect)
        assert "--" not in text
        assert text.count("?") == len(params)


def test_times_and_spans_may_be_python_objects() -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    passes = parse("create_time > 1970-01-01T00:00:01Z AND ttl <= 1.5s", SCHEMA).predicate()
    assert passes({"create_time": epoch + timedelta(seconds=1.5), "ttl": timedelta(seconds=1.5)})
    assert not passes({"create_time": epoch, "ttl": timedelta(seconds=1.5)})
    with pytest.raises(TypeError):
        passes({"create_time": datetime(1970, 1, 1), "ttl": 1})


class Domain:
    """Compiles to Odoo's prefix notation, as a driver would."""

    def all_of(self, terms: Sequence[list[Any]]) -> list[Any]:
        return ["&"] * (len(terms) - 1) + [part for term in terms for part in term]

    def any_of(self, terms: Sequence[list[Any]]) -> list[Any]:
        return ["|"] * (len(terms) - 1) + [part for term in terms for part in term]

    def negation(self, term: list[Any]) -> list[Any]:
        return ["!", *term]

    def compare(self, node: Compare) -> list[Any]:
        return [(".".join(node.ref.path), node.op.value, node.value)]

    def match(self, node: Match) -> list[Any]:
        return [(node.ref.field.column, "=like", f"{node.pattern.text}%")]

    def has(self, node: Has) -> list[Any]:
        return [(node.ref.field.column, "in", [node.element])]

    def present(self, node: Present) -> list[Any]:
        return [(node.ref.field.column, "!=", False)]


def test_a_visitor_makes_another_target() -> None:
    wanted = parse("name = a* AND (size > 5 OR -labels:x) AND done:*", SCHEMA)
    assert wanted.visit(Domain()) == [
        *("&", "&", ("name", "=like", "a%"), "|", ("size", ">", 5), "!", ("labels", "in", ["x"])),
        ("done", "!=", False),
    ]


def test_a_schema_may_find_its_fields_late() -> None:
    class Late(Schema):
        def find(self, path: tuple[str, ...]) -> Ref | None:
            return Ref(path, Field(Kind.STRING, "column")) if path[0] == "partner_id" else None

    assert parse("partner_id.name = Ann", Late({})).root == Compare(
        Ref(("partner_id", "name"), Field(Kind.STRING, "column")), Op.EQ, "Ann", Type.TEXT
    )


def outcomes(text: str) -> Callable[..., list[bool]]:
    passes = parse(text, SCHEMA).predicate()
    return lambda *items: [passes(one) for one in items]


def test_what_the_documentation_says_of_absent_fields() -> None:
    absent: dict[str, Any] = {}
    for text in ("size = 1", "size < 1", "size >= 1", "size:*", "name = *", "properties.a = 1", "tags:a", "labels:a"):
        assert outcomes(text)(absent) == [False]
        assert outcomes(f"NOT {text}")(absent) == [True]
    assert outcomes("size != 1")(absent, {"size": None}, {"size": 2}, {"size": 1}) == [True, True, True, False]
    assert outcomes("properties.a != 1")({"properties": {"a": "1"}}) == [True]


def test_what_the_documentation_says_of_presence() -> None:
    assert outcomes("name:*")({"name": ""}, {"name": "a"}) == [False, True]
    assert outcomes("name = *")({"name": ""}) == [True]
    assert outcomes("size:*")({"size": 0}) == [True]
    assert outcomes("labels:*")({"labels": []}, {"labels": [""]}) == [False, True]
    assert outcomes("tags.env:*")({"tags": {"env": ""}}, {"tags": {}}) == [True, False]
    found = outcomes("properties.a:*")
    values: list[Any] = [None, "", [], {}, 0, False]
    assert found(*({"properties": {"a": value}} for value in values)) == [False, True, False, False, True, True]
