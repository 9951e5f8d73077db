"""Reads what ``sutler apply`` applies: YAML documents, each ``kind``, ``name`` and the fields of that kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sutler.cli.kinds import Kind, by_name
from sutler.cli.ordering import in_order
from sutler.cli.parsing import Reader
from sutler.cli.screen import Misused
from sutler.errors import Invalid, SutlerError, Violation, invalid_fields

STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to apply.

    Attributes:
        kind: Its kind.
        name: Its resource name.
        message: It.
        place: Where it stands, ``file:line``.
    """

    kind: Kind
    name: str
    message: Message
    place: str

    @property
    def title(self) -> str:
        """Its kind and name."""
        return f"{self.kind.name} {self.name}"


def read(path: Path) -> list[Document]:
    """Reads one file, standard input for ``-``, or all ``.yaml`` and ``.yml`` files of a folder by their names.

    Raises:
        Invalid: With every problem, each at ``file:line:column``.
        Misused: If there is no document.
    """
    files = sorted(p for p in path.rglob("*") if p.suffix in (".yaml", ".yml")) if path.is_dir() else [path]
    documents: list[Document] = []
    problems: list[Violation] = []
    for file in files:
        for node in _load(file):
            try:
                documents.append(_document(_title(file), node))
            except Invalid as error:
                problems.extend(error.violations)
    if problems:
        raise invalid_fields(problems)
    if not documents:
        raise Misused(f"there is no document in {_title(path)}{' (*.yaml, *.yml)' if path.is_dir() else ''}")
    return in_order(documents)


def _title(file: Path) -> str:
    return "stdin" if file == STDIN else str(file)


def _load(file: Path) -> Iterator[Any]:
    title = _title(file)
    try:
        with nullcontext(sys.stdin) if file == STDIN else file.open() as text:
            yield from (node for node in YAML().load_all(text) if node is not None)
    except OSError as error:
        raise Invalid(f"{title} cannot be read: {error.strerror}", metadata={"path": title}) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{title}:{mark.line + 1}:{mark.column + 1}" if mark else title
        raise invalid_fields([Violation(place, f"is not YAML: {error.problem}")]) from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise invalid_fields([Violation(title, f"is not YAML: {error}")]) from error


def _document(file: str, node: Any) -> Document:
    reader = Reader(file)
    if not isinstance(node, CommentedMap):
        reader.problem(node, None, "a document is a mapping with kind and name")
        reader.finish()
    for key in ("kind", "name"):
        if not isinstance(node.get(key), str):
            reader.problem(node, None, f"{key} is missing or no text")
    reader.finish()
    try:
        kind = by_name(node["kind"])
    except SutlerError as error:
        reader.problem(node, "kind", error.message)
        reader.finish()
    message = kind.new()
    reader.fill(message, {key: value for key, value in node.items() if key != "kind"}, node)
    reader.finish()
    return Document(kind, node["name"], message, f"{file}:{node.lc.line + 1}")
