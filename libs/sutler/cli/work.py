"""The commands about operations, actions and what became of resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sutler.cli.options import Output, target_of
from sutler.cli.screen import Format, Misused

if TYPE_CHECKING:
    from sutler.client import Sutler

Operation = Annotated[str, typer.Argument(help="An operation such as resourceOperations/4b8d…")]


def history(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A resource or scope, also one that is gone")],
    output: Output = Format.TABLE,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Also all below it")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The most to show")] = 100,
) -> None:
    """Show what became of a resource, the newest first."""
    from sutler.cli import getting
    from sutler.cli.target import run

    async def work(client: Sutler) -> None:
        await getting.history(client, name, output, recursive=recursive, limit=limit)

    run(target_of(context), work)


def wait(context: typer.Context, operation: Operation, output: Output = Format.TABLE) -> None:
    """Wait for an operation and show its result; ends with 1 if it failed."""
    from sutler.cli import operating
    from sutler.cli.target import run

    run(target_of(context), lambda client: operating.wait(client, operation, output))


def cancel(context: typer.Context, operation: Operation) -> None:
    """Ask an operation to stop; sutler wait tells what became of it."""
    from sutler.cli import operating
    from sutler.cli.target import run

    run(target_of(context), lambda client: operating.cancel(client, operation))


def invoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A resource")],
    action: Annotated[str, typer.Argument(help="An action of its type, such as restart")],
    parameters: Annotated[str, typer.Option(help="What the action is given, a JSON object")] = "{}",
    output: Output = Format.TABLE,
) -> None:
    """Have the handler of a resource carry out an action, and show the result."""
    import json

    from sutler.cli import operating
    from sutler.cli.target import run

    try:
        given = json.loads(parameters)
    except ValueError as error:
        raise Misused(f"--parameters is no JSON: {error}") from error
    if not isinstance(given, dict):
        raise Misused('--parameters must be a JSON object, such as {"delay": 5}')
    run(target_of(context), lambda client: operating.invoke(client, name, action, given, output))
