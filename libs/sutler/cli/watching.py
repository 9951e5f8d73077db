"""``sutler watch``: follows changes, over broken connections too."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from sutler.cli.kinds import nearest
from sutler.cli.output import as_yaml, to_dict
from sutler.cli.release import UNBUILT
from sutler.cli.screen import Format, console, errors
from sutler.cli.target import Target, is_lost, nothing_answers
from sutler.client import Sutler
from sutler.client.connection import services
from sutler.errors import Unavailable, invalid
from sutler.fields import behaviors

RECONNECT_SECONDS = 0.5

WIDTHS = {"time": 20, "change": 8, "name": 40, "state": 16, "type": 0}
"""The columns of a change with their widths; nothing is cut."""


@cache
def feeds() -> Mapping[str, MethodDescriptor]:
    """Returns what can be followed by a filter alone, by the contracts: each ``Watch<Things>`` as ``things``."""
    return {
        method.name[5].lower() + method.name[6:]: method
        for service in services().values()
        for method in service.methods
        if method.name.startswith("Watch") and _is_feed(method)
    }


def _is_feed(method: MethodDescriptor) -> bool:
    fields = method.input_type.fields
    needed = any(field_behavior_pb2.REQUIRED in behaviors(field) for field in fields)
    return method.server_streaming and not needed and {"filter", "resume_token"} <= {field.name for field in fields}


def offered() -> list[str]:
    """Returns the feeds that this release offers."""
    return sorted(feed for feed, method in feeds().items() if method.full_name not in UNBUILT)


async def follow(client: Sutler, target: Target, feed: str, text: str, output: Format) -> None:
    """Prints every change of a feed until cancelled.

    Args:
        client: The connection.
        target: Where it goes to.
        feed: What to follow.
        text: The filter.
        output: The form.

    Raises:
        Invalid: If there is no such feed.
        SutlerError: If the watch ends for another reason than a lost connection.
    """
    method = feeds().get(feed)
    if method is None:
        near = nearest(feed, {name.lower(): name for name in offered()})
        raise invalid("feed", f"{feed!r} cannot be watched{near}; possible: {', '.join(offered())}")
    call = getattr(client.stub(method.containing_service.full_name), method.name)
    kind = message_factory.GetMessageClass(method.input_type)
    errors.print(f"following {feed} at {target.address} until Ctrl-C", markup=False)
    if output is Format.TABLE:
        _print_row({column: column.upper() for column in WIDTHS})
    async for batch in reconnecting(client, target, call, kind(filter=text)):
        for change in next((value for field, value in batch.ListFields() if field.is_repeated), []):
            _show(change, output)


async def reconnecting(client: Sutler, target: Target, call: Callable[[Any], Any], request: Any) -> AsyncIterator[Any]:
    """Follows a watch, and goes on where it was when the connection is lost.

    Args:
        client: The connection.
        target: Where it goes to.
        call: The RPC.
        request: What to follow.

    Raises:
        SutlerError: If the watch ends for another reason than a lost connection.
    """
    lost = False
    while True:
        try:
            async for batch in call(request):
                request.resume_token, lost = batch.resume_token or request.resume_token, False
                yield batch
        except Unavailable as error:
            if not lost:
                told = nothing_answers(target, error.message) if is_lost(client) else error.message
                errors.print(f"{told}; trying again", markup=False)
            lost = True
        await asyncio.sleep(RECONNECT_SECONDS)


def _show(change: Any, output: Format) -> None:
    data = to_dict(change)
    if output is Format.JSON:
        console.print(json.dumps(data), markup=False, soft_wrap=True)
    elif output is Format.YAML:
        console.print("---\n" + as_yaml(data).rstrip(), markup=False, soft_wrap=True)
    else:
        _print_row(_row(data))


def _row(data: Mapping[str, Any]) -> dict[str, str]:
    """Returns a change as columns: when, what happened, to what, and how it is now."""
    thing = next((value for value in data.values() if isinstance(value, Mapping) and "name" in value), data)
    state = next((value for key, value in thing.items() if key.lower().endswith("state")), "")
    return {
        "time": re.sub(r"\.\d+", "", str(data.get("changeTime", ""))),
        "change": str(data.get("kind", "")).rpartition("KIND_")[2],
        "name": str(thing.get("name", "")),
        "state": str(state),
        "type": str(thing.get("type", "")),
    }


def _print_row(row: Mapping[str, str]) -> None:
    line = "  ".join(f"{row[column]:<{width}}" for column, width in WIDTHS.items())
    console.print(line.rstrip(), markup=False, soft_wrap=True)
