"""``sutler apply``: a diff first, then each thing after those that it refers to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer
from google.longrunning.operations_pb2 import Operation
from google.protobuf.message import Message
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

from sutler.cli.documents import Document
from sutler.cli.ordering import references
from sutler.cli.refusals import Refused
from sutler.cli.screen import Misused, console
from sutler.client import Sutler
from sutler.client.operations import Progress as Step
from sutler.client.operations import result
from sutler.diffs import changes
from sutler.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Invalid,
    NotFound,
    SutlerError,
    Unauthenticated,
    Unavailable,
)

OF_THE_CALL = (Unavailable, Unauthenticated, DeadlineExceeded)
"""Errors that say nothing about a document: the next one would end with the same."""

MARKS = {"create": "[green]+[/]", "update": "[yellow]~[/]", "none": " ", "after": "[green]+[/]"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What applying one document would do.

    Attributes:
        document: The document.
        action: ``create``, ``update``, ``none``, or ``after`` for what can be checked only when others exist.
        lines: The changed fields, for people.
    """

    document: Document
    action: str
    lines: tuple[str, ...] = ()


async def apply(client: Sutler, documents: Sequence[Document], *, diff: bool, yes: bool, terminal: bool) -> None:
    """Shows what would change, asks, and does it.

    Args:
        client: Where.
        documents: What should be, in order.
        diff: Stop after showing, with all details.
        yes: Do not ask.
        terminal: Whether somebody can be asked.

    Raises:
        Refused: With every document that a service refuses.
        Misused: If nobody can be asked.
        SutlerError: If the services cannot be asked.
    """
    plans = await plan(client, documents)
    show(plans, details=diff)
    changed = [made for made in plans if made.action != "none"]
    if diff or not changed:
        console.print(f"{len(changed)} of {len(plans)} would change" if diff else "nothing to change")
        return
    if not yes and not terminal:
        raise Misused("nothing is changed, as nobody can be asked here: give --yes, or --diff to see the changes only")
    if not yes:
        typer.confirm(f"Apply {len(changed)} of {len(plans)}?", abort=True)
    await carry_out(client, plans)


async def plan(client: Sutler, documents: Sequence[Document]) -> list[Plan]:
    """Asks the services what would change.

    Raises:
        Refused: With every document that is refused.
        SutlerError: If the services cannot be asked.
    """
    plans: list[Plan] = []
    refused: list[tuple[Document, SutlerError]] = []
    for document in documents:
        missing = {made.document.name for made in plans if made.action in ("create", "after")}
        missing |= {other.name for other, _ in refused}
        try:
            plans.append(await _plan(client, document, waits=bool(missing & references(document.message))))
        except OF_THE_CALL:
            raise
        except SutlerError as error:
            refused.append((document, error))
    if refused:
        raise Refused(refused)
    return plans


async def _plan(client: Sutler, document: Document, *, waits: bool) -> Plan:
    kind = document.kind
    try:
        current: Message | None = await kind.call(client, "Get", kind.request("Get", name=document.name))
    except NotFound:
        current = None
    try:
        wanted = await _send(client, document, validate_only=True)
    except (Invalid, NotFound, FailedPrecondition):
        if waits and current is None:
            return Plan(document, "after")
        raise
    lines = tuple(f"{c.field}: {_short(c.before)} → {_short(c.after)}" for c in changes(current, wanted))
    if current is None:
        return Plan(document, "create", lines)
    return Plan(document, "update" if lines else "none", lines)


def show(plans: Sequence[Plan], *, details: bool) -> None:
    """Prints plans."""
    for made in plans:
        note = " (checked when it is applied)" if made.action == "after" else ""
        console.print(f"{MARKS[made.action]} {escape(made.document.name)}{note}", soft_wrap=True)
        if made.action == "update" or details:
            for line in made.lines:
                console.print(f"    {line}", markup=False, soft_wrap=True)


async def carry_out(client: Sutler, plans: Sequence[Plan]) -> None:
    """Applies what is not already as it should be, in order, with progress for slow ones.

    Raises:
        Refused: With the first document that is refused; what was applied before stays.
        SutlerError: If a service cannot be asked.
    """
    for made in plans:
        if made.action == "none":
            continue
        try:
            answer = await _send(client, made.document, validate_only=False, wait=True)
        except OF_THE_CALL:
            raise
        except SutlerError as error:
            raise Refused([(made.document, error)]) from error
        state = "created" if made.action in ("create", "after") else "updated"
        name = escape(getattr(answer, "name", made.document.name))
        console.print(f"[green]✓[/] {name} {state}", soft_wrap=True)


async def _send(client: Sutler, document: Document, *, validate_only: bool, wait: bool = False) -> Any:
    kind = document.kind
    verb = "Update" if "Update" in kind.methods else "Apply"
    request = kind.request(verb, **{kind.field: document.message}, validate_only=validate_only)
    if verb == "Update":
        request.allow_missing = True
    answer = await kind.call(client, verb, request)
    if not isinstance(answer, Operation):
        return answer
    if validate_only:
        return result(answer)
    return await follow(client, answer, document.name) if wait else answer


async def follow(client: Sutler, operation: Operation, name: str) -> Message:
    """Waits for an operation and shows how far it is."""
    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[step]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=100, step="")

        def told(step: Step) -> None:
            bars.update(bar, completed=step.percent, step=step.step)

        return await client.wait(operation, told)


def _short(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
