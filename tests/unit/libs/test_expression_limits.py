"""What an expression may cost: no few characters may hold up the whole process, and nothing usual is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sutler.expressions import Environment, EvaluationFailed

ENVIRONMENT = Environment({"self": "dyn"})
LONG = "a" * 1_000_000
MANY = list(range(1000))
KIND = {"kind": "a", "name": "n", "min": 1, "max": 2}


def evaluate(text: str, value: Any) -> Any:
    return ENVIRONMENT.compile(text).evaluate(ENVIRONMENT.bind({"self": value}))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("['aaaa']" + ".map(x, x + x)" * 27, {}),
        ("[self.a]" + ".map(x, x + x)" * 8, {"a": LONG}),
        ("self.a.replace('', self.a)", {"a": LONG}),
        ("self.a.replace('', '" + "x" * 200 + "')", {"a": LONG}),
        ("self.l.map(i, self.a).join('')", {"a": LONG, "l": MANY}),
        ("self.l.all(i, self.a + self.a != '')", {"a": LONG, "l": MANY}),
        ("self.l.all(i, !self.a.matches('(x|y|xy)+z'))", {"a": LONG, "l": MANY}),
        ("self.l.all(i, self.l.all(j, self.a.replace('a', 'b') != ''))", {"a": LONG[:10_000], "l": MANY}),
        ("self.l.all(i, size(self.a) > 0)", {"a": LONG, "l": MANY}),
        ("[self.l].map(l, l + l + l + l)" + ".map(l, l + l + l + l)" * 10, {"l": MANY}),
        ("['aaaa']" + ".//\nmap(x, x + x)" * 27, {}),
        ("['aaaa']" + ".//'\n map//\"\n(x, x + x)" * 27, {}),
        ("[1]" + ".map(x, [x, x])" * 25 + " == [1]" + ".map(x, [x, x])" * 25, {}),
        ("[1]" + ".map(x, {'a': x, 'b': x})" * 30, {}),
        ("self.l.all(x, !(x in self.m))", {"l": MANY * 4, "m": list(range(5000, 90_000))}),
        ("self.l.all(x, self.m == self.n)", {"l": MANY * 4, "m": MANY * 45, "n": MANY * 45}),
        ("self.l.all(x, self.m != self.n)", {"l": MANY, "m": {str(n): n for n in range(30_000)}, "n": {}}),
        ("self.l.all(x, self.m == 1 + self.n)", {"l": MANY * 4, "m": MANY * 45, "n": MANY * 45}),
        ("self.l.all(x, self.a.charAt(0) == 'a')", {"a": LONG, "l": MANY}),
        (r"self.l.all(x, self.a.matches('(\\pL{100}){9}'))", {"a": "a", "l": MANY}),
        ("self.l.all(x, self.a.matches(self.p))", {"a": "a", "p": r"(\pL{100}){9}", "l": MANY}),
        ("self.l.all(i, self.m.exists(k, 'a'.matches(k)) || true)", {"m": {r"(\pL{100}){9}": 1}, "l": MANY}),
        ("self.map(k, k.replace('', k))", {LONG: 1}),
        (" || ".join([r"self.a.matches('(\\pL{100}){9}')"] * 50), {"a": "a"}),
    ],
)
def test_what_would_take_too_much_is_refused_at_once(text: str, value: Any) -> None:
    begun = time.process_time()
    with pytest.raises(EvaluationFailed):
        evaluate(text, value)
    assert time.process_time() - begun < 1


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("self.a + self.a == self.b", {"a": LONG, "b": LONG * 2}, True),
        ("self.a.replace('a', 'b').contains('a')", {"a": LONG[:100_000]}, False),
        ("self.name.split('/').size() == 4 && self.name.replace('/', '-') != ''", {"name": "a/b/c/d"}, True),
        ("self.name.split('/')[1]", {"name": "a/b/c/d", "text": LONG[:100_000]}, "b"),
        ("self.l.map(i, i.name + '-x').join(',').size()", {"l": [{"name": "n"}] * 100}, 399),
        ("self.l.all(i, i.size > 0 && i.name.matches('^[a-z]+$'))", {"l": [{"name": "nn", "size": 1}] * 2000}, True),
        ("self.l.all(i, i >= 0)", {"l": MANY, "text": LONG}, True),
        ("self.l.all(i, !self.l.exists(j, j < 0 && i < j))", {"l": list(range(90))}, True),
        ("self.l.filter(i, i.startsWith('b')).size()", {"l": ["a", "b"] * 900}, 900),
        ("'%s-%d'.format([self.a, 1])", {"a": "x"}, "x-1"),
        ("self.l.all(i, i.kind in ['a', 'b'] && i.name != 'x' && i.min <= i.max)", {"l": [KIND] * 2000}, True),
        ("self.l.all(i, i.name == self.name || i.kind == self.kind)", {"l": [KIND] * 500, **KIND}, True),
        ("self.l.all(i, i.matches('^[0-9a-f]{8}-[0-9a-f]{4}$'))", {"l": ["0123abcd-0123"] * 1000}, True),
        ("self.l.all(i, self.l.all(j, i >= 0 || i == j))", {"l": list(range(60))}, True),
        ("self.url.startsWith('http://') // a scheme, not 'x'", {"url": "http://x//y"}, True),
        ("self.patterns.exists(p, self.name.matches(p))", {"name": "web", "patterns": ["^db$", "^web$"]}, True),
        ("self.tags.all(k, k.matches('^[a-z]+$') && self.tags[k].size() <= 256)", {"tags": {"team": "v" * 256}}, True),
    ],
)
def test_what_is_usual_goes(text: str, value: Any, expected: Any) -> None:
    assert evaluate(text, value) == expected
