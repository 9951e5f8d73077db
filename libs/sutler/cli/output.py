"""Prints things: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from ruamel.yaml import YAML

from sutler.cli.screen import Format, console
from sutler.wire import MAX_EXACT

COLUMNS = (
    *("name", "target", "method", "state", "progressPercent", "provisioningState", "type", "displayName", "enabled"),
    "updateTime",
)
"""What a table shows of any kind, where the kind has it."""

COLUMNS_OF = {
    "sutler.resource.v1.ResourceRevision": ("revision", "createTime", "resource", "kind", "actor", "cause", "method")
}
"""What it shows of kinds of which those columns do not tell enough."""

FREE_TEXT = frozenset({"displayName", "problem"})
"""The columns that may be broken into several lines."""

WIDEST = 100_000


def to_dict(message: Message) -> dict[str, Any]:
    """Returns a message as JSON data with the names of REST; whole numbers without ``.0``."""
    data: dict[str, Any] = _whole(json_format.MessageToDict(message))
    return data


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_EXACT else value


def to_document(message: Message) -> dict[str, Any]:
    """Returns a message as ``sutler apply`` reads it: ``kind`` first, and no etag, which would be good only once."""
    data = to_dict(message)
    data.pop("etag", None)
    return {"kind": message.DESCRIPTOR.full_name, **data}


def show(messages: Sequence[Message], form: Format, *, single: bool = False) -> None:
    """Prints messages; a single one as itself, others as a list, in YAML each as a document."""
    if form is Format.JSON:
        data = [to_dict(message) for message in messages]
        print_json(data[0] if single else data)
    elif form is Format.YAML or single:
        text = "---\n".join(as_yaml(to_document(message)) for message in messages)
        console.print(text, markup=False, soft_wrap=True, end="")
    else:
        rows = [_row(to_dict(message)) for message in messages]
        print_table(_columns(messages, rows), rows)


def _columns(messages: Sequence[Message], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Returns what a table shows: what things are known by, which is their first field, and what some of them have."""
    if not messages:
        return ["name"]
    kind = messages[0].DESCRIPTOR
    wanted = dict.fromkeys((kind.fields[0].json_name, *COLUMNS_OF.get(kind.full_name, COLUMNS)))
    return [column for column in wanted if any(column in row for row in rows)]


def _row(data: dict[str, Any]) -> dict[str, Any]:
    """Returns what a table shows of a thing; of an operation also what is known of it."""
    known = data.get("metadata")
    return {**known, **data} if isinstance(known, dict) and "@type" in known else data


def print_json(data: Any) -> None:
    """Prints JSON data, in colours on a terminal."""
    console.print_json(json.dumps(data), highlight=console.is_terminal)


def as_yaml(data: Any) -> str:
    """Returns JSON data as YAML."""
    yaml, out = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = WIDEST
    yaml.dump(data, out)
    return out.getvalue()


def print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Prints some columns of rows, each row in one line; on a terminal, only free text is broken."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    screen = Console(highlight=False)
    for column in columns:
        made.add_column(heading(column), overflow="fold", no_wrap=column not in FREE_TEXT)
    for row in rows:
        made.add_row(*(escape(_cell(row.get(column, ""))) for column in columns))
    wide = Console(highlight=False, width=WIDEST)
    needed = Measurement.get(wide, wide.options, made)
    width = max(screen.width, needed.minimum) if screen.is_terminal else needed.maximum
    Console(highlight=False, width=width).print(made, crop=False)


def heading(column: str) -> str:
    """Returns ``updateTime`` as ``UPDATE TIME``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", column).upper()


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
