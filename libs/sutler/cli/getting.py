"""``sutler get``: one thing, or a collection page by page."""

from __future__ import annotations

from typing import Any

from sutler.cli import kinds
from sutler.cli.output import show
from sutler.cli.screen import Format
from sutler.client import Sutler
from sutler.errors import SutlerError, invalid

PAGE_SIZE = 1000
"""The most that a service returns at once."""


async def get(client: Sutler, what: str, output: Format, *, text: str, order_by: str, limit: int) -> None:
    """Prints one thing, or a collection.

    Args:
        client: Where from.
        what: A name or a collection.
        output: The form.
        text: The filter of a list.
        order_by: The order of a list.
        limit: The most to list.

    Raises:
        Invalid: If there is no such collection, and no kind has such names.
        SutlerError: What the service answers.
    """
    if "/" not in what or _is_collection(what):
        show(await _list(client, what, text, order_by, limit), output)
        return
    kind = kinds.of_resource(what)
    found = await kind.call(client, "Get", kind.request("Get", name=what))
    show([found], output, single=True)


async def history(client: Sutler, name: str, output: Format, *, recursive: bool, limit: int) -> None:
    """Prints what became of a resource, the newest first.

    Args:
        client: Where from.
        name: The resource, which need not be there any more.
        output: The form.
        recursive: Also of all that is below it.
        limit: The most to print.

    Raises:
        SutlerError: What the service answers.
    """
    show(await _list(client, f"{name}/resourceRevisions", "", "", limit, recursive=recursive), output)


def _is_collection(what: str) -> bool:
    try:
        kinds.of_collection(what)
    except SutlerError:
        return False
    return True


async def _list(client: Sutler, path: str, text: str, order_by: str, limit: int, **more: Any) -> list[Any]:
    found = kinds.of_collection(path)
    kind = found.kind
    fields: dict[str, Any] = {**found.fields, "filter": text, "order_by": order_by, **more}
    for name in [name for name in ("filter", "order_by") if not kind.takes("List", name)]:
        if fields.pop(name):
            raise invalid(name, f"{path} cannot be listed so")
    if kind.takes("List", "recursive") and "parent" not in fields:
        fields["recursive"] = True
    items: list[Any] = []
    token = ""
    while len(items) < limit:
        request = kind.request("List", page_size=min(PAGE_SIZE, limit - len(items)), page_token=token, **fields)
        answer = await kind.call(client, "List", request)
        items += next((value for field, value in answer.ListFields() if field.number == 1), [])
        token = answer.next_page_token
        if not token:
            break
    return items
