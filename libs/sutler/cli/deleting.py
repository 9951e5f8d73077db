"""``sutler delete``: things by name, and what files describe in reverse order."""

from __future__ import annotations

from collections.abc import Sequence

from google.longrunning.operations_pb2 import Operation
from rich.markup import escape

from sutler.cli.apply import OF_THE_CALL, follow
from sutler.cli.documents import Document
from sutler.cli.kinds import Kind
from sutler.cli.refusals import Refused
from sutler.cli.screen import Failed, console
from sutler.client import Sutler
from sutler.errors import NotFound, SutlerError

NAMED = 5
"""How many names a question tells."""


def question(names: Sequence[str]) -> str:
    """Returns what to ask before things are deleted."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"Delete {', '.join(names[:NAMED])}{more}?"


async def delete(
    client: Sutler,
    named: Sequence[tuple[Kind, str]],
    documents: Sequence[Document],
    *,
    force: bool,
    allow_missing: bool,
) -> None:
    """Deletes what is named, then what documents describe, those that refer to others first.

    Args:
        client: Where.
        named: Kinds and names.
        documents: What else, in the order in which it would be applied.
        force: Also what has children.
        allow_missing: It is fine if something that is named is not there; of documents it always is.

    Raises:
        Failed: At the end, if something that is named was not there.
        SutlerError: The first failure.
    """
    missing = [name for kind, name in named if not await _delete(client, kind, name, force=force)]
    for document in reversed(documents):
        try:
            await _delete(client, document.kind, document.name, force=force)
        except OF_THE_CALL:
            raise
        except SutlerError as error:
            raise Refused([(document, error)]) from error
    if missing and not allow_missing:
        raise Failed(f"{len(missing)} of {len(named)} named were not there; --allow-missing makes that fine")


async def _delete(client: Sutler, kind: Kind, name: str, *, force: bool) -> bool:
    """Deletes one thing and says so; returns whether it was there."""
    request = kind.request("Delete", name=name)
    if "force" in request.DESCRIPTOR.fields_by_name:
        request.force = force
    try:
        answer = await kind.call(client, "Delete", request)
        if isinstance(answer, Operation):
            await follow(client, answer, name)
    except NotFound:
        console.print(f"  not there: {escape(name)}", soft_wrap=True)
        return False
    console.print(f"[red]-[/] {escape(name)}", soft_wrap=True)
    return True
