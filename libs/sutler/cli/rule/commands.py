"""The commands of ``sutler rule``."""

from __future__ import annotations

from typing import Annotated

import typer

from sutler.cli.options import Output, target_of
from sutler.cli.screen import Format

app = typer.Typer(no_args_is_help=True, help="Look at the flow of events through rules.")


@app.callback()
def rule() -> None:
    """Look at the flow of events through rules."""


@app.command()
def tail(
    context: typer.Context,
    type_: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Events of this type, such as 'order.*'; may be repeated")
    ] = None,
    subject: Annotated[
        list[str] | None, typer.Option("--subject", "-s", help="About this subject, such as 'customer/*'; the same")
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", "-r", help="That this rule has to do with, such as count-orders; the same"),
    ] = None,
    filter_: Annotated[str, typer.Option("--filter", help="Which events, such as 'data.total > 100'")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Show events with their data, what each rule does with them, and how it ends, until Ctrl-C.

    Begins now. In types and subjects [bold]*[/] is any text, dots and slashes too. Times are UTC. Of data the first
    1000 characters are shown, with [bold]-o json[/] all.

    Needs the permission rule.events.watch.
    """
    from sutler.cli.rule import tailing
    from sutler.cli.target import run_until_stopped

    wanted = tailing.Wanted(tuple(type_ or ()), tuple(subject or ()), tuple(rule or ()), filter_)
    target = target_of(context)
    run_until_stopped(target, lambda client: tailing.tail(client, target, wanted, output))
