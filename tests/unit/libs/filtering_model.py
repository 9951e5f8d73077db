"""What a filter means, told a second time and as plainly as possible, to check the library by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sutler.filtering import Field, Kind, Schema

STATES = {"PENDING": 1, "RUNNING": 2, "STOPPED": 3}
TIERS = {"FREE": "free", "PAID": "paid"}

SCHEMA = Schema(
    {
        "name": Field(Kind.STRING, "d.name", required=True),
        "title": Field(Kind.STRING, "title"),
        "size": Field(Kind.INT, "size"),
        "ratio": Field(Kind.DOUBLE, "ratio"),
        "done": Field(Kind.BOOL, "done"),
        "create_time": Field(Kind.TIME, "create_time"),
        "ttl": Field(Kind.DURATION, "ttl"),
        "state": Field(Kind.ENUM, "state", values=STATES),
        "tier": Field(Kind.ENUM, "tier", values=TIERS),
        "labels": Field(Kind.STRING_LIST, "labels"),
        "tags": Field(Kind.STRING_MAP, "tags"),
        "properties": Field(Kind.OPEN, "properties"),
        "spec.title": Field(Kind.STRING, "spec", json=("title",)),
        "spec.size": Field(Kind.INT, "spec", json=("inner", "size")),
        "spec.ratio": Field(Kind.DOUBLE, "spec", json=("ratio",)),
        "spec.done": Field(Kind.BOOL, "spec", json=("done",)),
        "spec.labels": Field(Kind.STRING_LIST, "spec", json=("labels",)),
        "spec.failure": Field(Kind.WHOLE, "spec", json=("failure",)),
        "spec.failure.code": Field(Kind.INT, "spec", json=("failure", "code")),
        "spec.open": Field(Kind.OPEN, "spec", json=("open",)),
    }
)

PATHS = {name: tuple(name.split(".")) for name in SCHEMA.fields}


def item(document: dict[str, Any]) -> dict[str, Any]:
    """The document as predicates take it: along the field paths, which differ for ``spec.size``."""
    spec = document["spec"]
    return {**document, "spec": {**spec, "size": spec.get("inner", {}).get("size")}}


@dataclass(frozen=True)
class Leaf:
    """One comparison; ``kind`` is text, int, number, bool or presence."""

    path: tuple[str, ...]
    kind: str
    operator: str
    value: Any
    leading: bool
    trailing: bool
    text: str

    def holds(self, found: dict[str, Any]) -> bool:
        value: Any = found
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        if self.kind == "presence":
            return self._present(value)
        if self.operator == "!=":
            return not self._single("=", value)
        if self.operator != ":":
            return self._single(self.operator, value)
        if isinstance(value, list):
            return any(self._single("=", element) for element in value)
        if isinstance(value, dict):
            return self.kind == "text" and any(self._single("=", key) for key in value)
        return self._single("=", value)

    def _present(self, value: Any) -> bool:
        # An empty text is something only where somebody put it on purpose: in a map or an open field.
        on_purpose = self.path[0] in ("tags", "properties") or self.path[:2] == ("spec", "open")
        return value is not None and value not in ([], {}) and (value != "" or on_purpose)

    def _single(self, operator: str, value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str) and self._text(operator, value)
        if self.kind == "bool":
            return isinstance(value, bool) and value == self.value
        if self.kind == "int":
            return is_number and _compares(operator, value, self.value)
        return is_number and _compares(operator, float(value), float(self.value))

    def _text(self, operator: str, value: str) -> bool:
        if self.leading or self.trailing:
            expression = (".*" if self.leading else "") + re.escape(self.value) + (".*" if self.trailing else "")
            return re.fullmatch(expression, value, re.DOTALL) is not None
        return _compares(operator, [ord(c) for c in value], [ord(c) for c in self.value])


@dataclass(frozen=True)
class Tree:
    """AND, OR or NOT of some terms."""

    operator: str
    terms: tuple[Leaf | Tree, ...]
    text: str

    def holds(self, found: dict[str, Any]) -> bool:
        results = [term.holds(found) for term in self.terms]
        if self.operator == "NOT":
            return not results[0]
        return False not in results if self.operator == "AND" else True in results


def _compares(operator: str, left: Any, right: Any) -> bool:
    order = (left > right) - (left < right)
    return order in {"=": (0,), "<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1)}[operator]
