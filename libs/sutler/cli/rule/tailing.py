"""``sutler rule tail``: what happens to events, as it happens."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from sutler.cli.output import as_yaml, to_dict
from sutler.cli.rule.lines import line
from sutler.cli.screen import Format, console, errors
from sutler.cli.target import Target
from sutler.cli.watching import reconnecting
from sutler.client import Sutler
from sutler.rule.v1 import rule_pb2 as pb

MAX_KEPT = 1000
"""How many of the latest events are known, where only those are shown that certain rules have to do with."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to show.

    Attributes:
        types: Types of events, with stars; all if none.
        subjects: Ids of subjects, with stars; all if none.
        rules: Rules that must have to do with an event, by id or name; all events if none.
        text: A filter over the fields of events.
    """

    types: Sequence[str] = ()
    subjects: Sequence[str] = ()
    rules: Sequence[str] = ()
    text: str = ""

    @property
    def filter(self) -> str:
        """The filter of the watch."""
        parts = [_any("type", self.types), _any("subject", self.subjects), f"({self.text})" if self.text else ""]
        return " AND ".join(part for part in parts if part)


class Chosen:
    """Lets through what certain rules have to do with: their executions, and the events that these are of.

    Args:
        rules: The rules, by id or name; everything passes if there are none.
    """

    def __init__(self, rules: Sequence[str]) -> None:
        self._rules = frozenset(rule if "/" in rule else f"rules/{rule}" for rule in rules)
        self._events: OrderedDict[str, pb.EventChange | None] = OrderedDict()

    def of(self, change: pb.EventChange) -> list[pb.EventChange]:
        """Returns what to show now that a change has come: it, the event before it, or nothing."""
        name = change.event.name
        if not self._rules:
            return [change]
        if change.kind == pb.EventChange.KIND_ACCEPTED:
            self._keep(name, change)
        elif change.kind == pb.EventChange.KIND_EXECUTION:
            if change.execution.rule in self._rules:
                accepted = self._events.get(name)
                self._keep(name, None)
                return [accepted, change] if accepted else [change]
        elif name in self._events and self._events[name] is None:
            return [change]
        return []

    def _keep(self, name: str, accepted: pb.EventChange | None) -> None:
        """Keeps an event that waits for its first execution, or, with None, that it is shown."""
        self._events[name] = accepted
        if len(self._events) > MAX_KEPT:
            self._events.popitem(last=False)


async def tail(client: Sutler, target: Target, wanted: Wanted, output: Format) -> None:
    """Prints what happens to events until cancelled.

    Raises:
        SutlerError: If the watch ends for another reason than a lost connection.
    """
    request = pb.WatchEventsRequest(filter=wanted.filter, view=pb.EVENT_VIEW_FULL, executions=True)
    chosen = Chosen(wanted.rules)
    errors.print(f"following events at {target.address} until Ctrl-C", markup=False)
    async for batch in reconnecting(client, target, client.rules.WatchEvents, request):
        for change in batch.changes:
            for each in chosen.of(change):
                _show(each, output)


def _show(change: pb.EventChange, output: Format) -> None:
    if output is Format.JSON:
        console.print(json.dumps(to_dict(change)), markup=False, soft_wrap=True)
    elif output is Format.YAML:
        console.print("---\n" + as_yaml(to_dict(change)).rstrip(), markup=False, soft_wrap=True)
    else:
        text, style = line(change)
        console.print(text, style=style, markup=False, soft_wrap=True)


def _any(field: str, values: Sequence[str]) -> str:
    quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in values]
    alternatives = " OR ".join(f'{field} = "{value}"' for value in quoted)
    return f"({alternatives})" if alternatives else ""
