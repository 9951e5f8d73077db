"""The commands and their options.

What a command needs is imported when it runs: ``sutler --help`` and completion answer at once.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sutler import stubs
from sutler.cli import work
from sutler.cli.erp.commands import app as erp
from sutler.cli.listing import ListsCollections, ListsFeeds, complete_collections, complete_feeds
from sutler.cli.options import File, Output, Yes, target_of
from sutler.cli.rule.commands import app as rule
from sutler.cli.screen import Failed, Format, Misused, errors
from sutler.errors import SutlerError

if TYPE_CHECKING:
    from sutler.client import Sutler

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, help="Work with Sutler from a shell.", rich_markup_mode="rich"
)


@app.callback()
def target(
    context: typer.Context,
    address: Annotated[str, typer.Option(envvar="SUTLER_ADDRESS", help="host:port of the gateway")] = "127.0.0.1:8080",
    token: Annotated[str, typer.Option(envvar="SUTLER_TOKEN", help="Bearer token")] = "",
    tenant: Annotated[str, typer.Option(envvar="SUTLER_TENANT", help="Tenant to act for")] = "",
    ca: Annotated[Path | None, typer.Option(envvar="SUTLER_CA", help="CA to trust (PEM); uses TLS")] = None,
) -> None:
    """Work with Sutler from a shell."""
    context.obj = {"address": address, "token": token, "tenant": tenant, "ca": ca}


@app.command()
def apply(
    context: typer.Context,
    file: File = None,
    yes: Yes = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what would change, and stop")] = False,
    misplaced: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
) -> None:
    """Create or change what files describe; shows the difference first.

    A document is [bold]kind[/] (such as sutler.rule.v1.Rule), [bold]name[/], then the fields of that kind. What only
    the server sets is left alone, so that what [bold]get -o yaml[/] prints can be applied.
    """
    if misplaced or file is None:
        raise Misused(f"name a file or folder with -f: sutler apply -f {misplaced[0] if misplaced else 'FILE'}")
    from sutler.cli import apply as applying
    from sutler.cli import documents
    from sutler.cli.target import run

    wanted = documents.read(file)

    async def work(client: Sutler) -> None:
        await applying.apply(client, wanted, diff=diff, yes=yes, terminal=sys.stdin.isatty())

    run(target_of(context), work)


@app.command(cls=ListsCollections)
def get(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            help="A name such as rules/my-rule, or a collection such as machines", autocompletion=complete_collections
        ),
    ],
    output: Output = Format.TABLE,
    filter_: Annotated[str, typer.Option("--filter", help="Which to list, such as 'state = STATE_RUNNING'")] = "",
    order_by: Annotated[str, typer.Option(help="Order, such as 'create_time desc'")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The most to list")] = 1000,
) -> None:
    """Show one thing, or list a collection."""
    from sutler.cli import getting
    from sutler.cli.target import run

    async def work(client: Sutler) -> None:
        await getting.get(client, what, output, text=filter_, order_by=order_by, limit=limit)

    run(target_of(context), work)


@app.command()
def delete(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Names such as rules/my-rule")] = None,
    file: File = None,
    force: Annotated[bool, typer.Option(help="Also what has children")] = False,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Names that are not there are fine")] = False,
    yes: Yes = False,
) -> None:
    """Delete things by name, or what files describe, in reverse order."""
    from sutler.cli import deleting, documents, kinds
    from sutler.cli.target import run

    described = documents.read(file) if file else []
    named = [(kinds.of_resource(name), name) for name in names or []]
    for kind, _ in named:
        kind.request("Delete")
    wanted = [*(names or []), *(document.name for document in reversed(described))]
    if not wanted:
        raise Misused("name something to delete, or a file with --file")
    if not yes and not sys.stdin.isatty():
        raise Misused("nothing is deleted, as nobody can be asked here: give --yes")
    if not yes:
        typer.confirm(deleting.question(wanted), abort=True)

    async def work(client: Sutler) -> None:
        await deleting.delete(client, named, described, force=force, allow_missing=allow_missing)

    run(target_of(context), work)


@app.command(cls=ListsFeeds)
def watch(
    context: typer.Context,
    feed: Annotated[str, typer.Argument(help="What to follow, such as machines", autocompletion=complete_feeds)],
    filter_: Annotated[str, typer.Option("--filter", help="Which to follow, such as 'state = STATE_RUNNING'")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Follow changes until Ctrl-C."""
    from sutler.cli.target import run_until_stopped
    from sutler.cli.watching import follow

    target = target_of(context)
    run_until_stopped(target, lambda client: follow(client, target, feed, filter_, output))


for command in (work.history, work.wait, work.cancel, work.invoke):
    app.command()(command)

app.add_typer(erp, name="erp")
app.add_typer(rule, name="rule")


@app.command()
def status(context: typer.Context, output: Output = Format.TABLE) -> None:
    """Show which services answer; ends with 1 if one does not."""
    from sutler.cli.status import show_status
    from sutler.cli.target import run

    healthy: list[bool] = []

    async def work(client: Sutler) -> None:
        healthy.append(await show_status(client, output))

    run(target_of(context), work, attempts=1)
    if not healthy[0]:
        raise typer.Exit(1)


@app.command()
def token(
    subject: Annotated[str, typer.Option(help="Whose token")] = "user:developer",
    permission: Annotated[
        list[str] | None,
        typer.Option(
            help="area.collection.verb[:pattern]; * is any part. Without it everything is granted, acting for other "
            "tenants included"
        ),
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant")] = "default",
    hours: Annotated[float, typer.Option(min=0.01, max=8760, help="How long it is good")] = 24,
    secret: Annotated[str, typer.Option(envvar="SUTLER_AUTH_SECRET", help="The services' shared secret")] = "",
    new_secret: Annotated[bool, typer.Option("--new-secret", help="Print a new shared secret instead")] = False,
    service: Annotated[bool, typer.Option(help="A service's token: may act on somebody's behalf")] = False,
) -> None:
    """Make a development token, signed with the services' shared secret."""
    if new_secret:
        import secrets

        print(secrets.token_urlsafe(32))
        return
    from sutler.cli.development import make_token

    print(make_token(secret, subject, permission or [], tenant=tenant, hours=hours, service=service))


@app.command("certs")
def make_certs(
    folder: Annotated[Path, typer.Argument(help="Where to write ca.pem, server.pem and server.key")],
    host: Annotated[list[str] | None, typer.Option(help="Names and addresses of the server")] = None,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="How long they are valid; else a year")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there")] = False,
) -> None:
    """Make a development CA and a server certificate."""
    from sutler.cli.development import make_certificates

    made = make_certificates(folder, host or ["localhost", "127.0.0.1", "::1"], days=days, force=force)
    for path in (made.ca, made.certificate, made.key):
        print(path)


@app.command()
def up() -> None:
    """Run the whole stack on this machine until Ctrl-C; from a checkout of Sutler."""
    import subprocess

    from sutler.cli.stack import find_checkout

    raise typer.Exit(subprocess.call([sys.executable, "-m", "deploy.local", "run"], cwd=find_checkout(Path.cwd())))


def main() -> None:
    """Runs the command; what goes wrong is told in a few lines, with exit code 1, or 2 for a wrong call."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what a failed connection means is told in one line
    try:
        app()
    except Failed as error:
        _fail(str(error), error.exit_code)
    except SutlerError as error:
        from sutler.cli.refusals import explain

        _fail(explain(error), 1)
    except ModuleNotFoundError:
        stubs.require()
        raise
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror}".lstrip(": "), 1)


def _fail(text: str, code: int) -> None:
    errors.print(text, style="red", markup=False)
    sys.exit(code)
