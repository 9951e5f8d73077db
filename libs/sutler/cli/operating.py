"""``sutler wait``, ``cancel`` and ``invoke``: operations, and actions, which are some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.longrunning.operations_pb2 import CancelOperationRequest, GetOperationRequest
from rich.markup import escape

from sutler.cli.apply import follow
from sutler.cli.kinds import of_resource
from sutler.cli.output import show
from sutler.cli.screen import Format, console
from sutler.client import Sutler
from sutler.errors import invalid
from sutler.resource.v1 import resource_pb2
from sutler.wire import to_struct


async def wait(client: Sutler, name: str, output: Format) -> None:
    """Follows an operation until it is done and prints what it made.

    Raises:
        SutlerError: The error that it ended with, or that there is none of that name.
    """
    operation = await _owner(client, name).GetOperation(GetOperationRequest(name=name))
    show([await follow(client, operation, name)], output, single=True)


async def cancel(client: Sutler, name: str) -> None:
    """Asks an operation to stop.

    Raises:
        SutlerError: What the service answers.
    """
    await _owner(client, name).CancelOperation(CancelOperationRequest(name=name))
    console.print(f"cancelling {escape(name)}", soft_wrap=True)


async def invoke(client: Sutler, name: str, action: str, parameters: Mapping[str, Any], output: Format) -> None:
    """Invokes an action of a resource and prints its result and the resource.

    Raises:
        SutlerError: What the service answers, or the handler.
    """
    request = resource_pb2.InvokeActionRequest(name=name, action=action, parameters=to_struct(parameters))
    show([await follow(client, await client.resources.InvokeAction(request), name)], output, single=True)


def _owner(client: Sutler, name: str) -> Any:
    """Returns a stub of the service that has an operation."""
    kind = of_resource(name)
    if kind.field != "operation":
        raise invalid("name", f"{name!r} is no operation, such as resourceOperations/4b8d…")
    return client.stub(kind.service)
