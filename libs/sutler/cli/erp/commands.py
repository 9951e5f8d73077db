"""The commands of ``sutler erp``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sutler.cli.options import Output, target_of
from sutler.cli.screen import Form, Format, Misused

if TYPE_CHECKING:
    from sutler.client import Sutler

app = typer.Typer(no_args_is_help=True, help="Look at models and records of ERP systems, and export them.")

Connection = Annotated[
    str, typer.Option("--connection", "-c", envvar="SUTLER_CONNECTION", help="The connection to the ERP")
]
Model = Annotated[str, typer.Argument(help="The model, such as sale.order")]
Fields = Annotated[
    str, typer.Option("--fields", help="Fields, such as name,partner_id.email; * is every field but binaries")
]
Filter = Annotated[str, typer.Option("--filter", help="Which records, such as 'partner_id.name = \"A*\"'")]
Domain = Annotated[
    str, typer.Option(help='Which records, as the ERP\'s own domain in JSON, such as \'[["id",">",5]]\'')
]
Archived = Annotated[bool, typer.Option("--archived", help="Archived records too")]


@app.command()
def models(
    context: typer.Context,
    connection: Connection = "main",
    filter_: Annotated[str, typer.Option("--filter", help="Which models, such as 'model = \"sale.*\"'")] = "",
    output: Output = Format.TABLE,
) -> None:
    """List the models that the ERP's user may read.

    Needs the permission erp.models.list.
    """
    from sutler.cli.erp import looking

    _run(context, lambda client: looking.models(client, _name(connection), filter_, output))


@app.command()
def describe(
    context: typer.Context, model: Model, connection: Connection = "main", output: Output = Format.TABLE
) -> None:
    """Show the fields of a model.

    Needs the permission erp.models.describe.
    """
    from sutler.cli.erp import looking

    _run(context, lambda client: looking.describe(client, _name(connection), model, output))


@app.command()
def search(
    context: typer.Context,
    model: Model,
    connection: Connection = "main",
    filter_: Filter = "",
    domain: Domain = "",
    fields: Fields = "display_name",
    order_by: Annotated[str, typer.Option(help="Order, such as 'date_order desc'")] = "",
    limit: Annotated[int, typer.Option(min=1, help="The most to show")] = 100,
    archived: Archived = False,
    output: Output = Format.TABLE,
) -> None:
    """Find records; tells if there are more than the limit.

    Needs the permissions erp.records.search and erp.models.describe, for the model and for each that fields lead to.
    """
    from sutler.cli.erp import looking
    from sutler.erp.v1 import erp_pb2

    request = erp_pb2.SearchRecordsRequest(
        connection=_name(connection),
        model=model,
        filter=filter_,
        fields=_fields(fields),
        order_by=order_by,
        show_archived=archived,
    )
    _put_domain(request, domain)
    _run(context, lambda client: looking.search(client, request, limit, output))


@app.command()
def get(
    context: typer.Context,
    model: Model,
    ids: Annotated[list[int], typer.Argument(help="The ids of records")],
    connection: Connection = "main",
    fields: Fields = "*",
    output: Output = Format.YAML,
) -> None:
    """Show records by id, those that exist; ends with 1 if one does not.

    Needs the permissions erp.records.batchGet and erp.models.describe, for the model and for each that fields lead to.
    """
    from sutler.cli.erp import looking

    _run(context, lambda client: looking.get(client, _name(connection), model, ids, _fields(fields), output))


@app.command()
def export(
    context: typer.Context,
    model: Model,
    file: Annotated[Path, typer.Argument(help="Where to; - is the standard output", allow_dash=True)] = Path("-"),
    connection: Connection = "main",
    filter_: Filter = "",
    domain: Domain = "",
    fields: Fields = "*",
    archived: Archived = False,
    binaries: Annotated[bool, typer.Option("--binaries", help="Binary fields in full; else their size")] = False,
    output: Annotated[
        Form | None, typer.Option("--output", "-o", help="The form; else the file's suffix says it")
    ] = None,
) -> None:
    """Write all records that match to a file, by id.

    What broke off goes on where it was if the same command is given again: until the end the file is called
    [bold]FILE.part[/]. What another command has left there is dropped, and a file of that name replaced at the end. One
    export writes a file at a time.

    Needs the permissions erp.records.export and erp.models.describe, for the model and for each that fields lead to.
    """
    from sutler.cli.erp import exporting
    from sutler.erp.v1 import erp_pb2

    request = erp_pb2.ExportRecordsRequest(
        connection=_name(connection),
        model=model,
        filter=filter_,
        fields=_fields(fields),
        show_archived=archived,
        include_binaries=binaries,
        chunk_size=1000,
    )
    _put_domain(request, domain)
    form = exporting.form_of(file, output)
    _run(context, lambda client: exporting.export(client, request, file, form))


def _run(context: typer.Context, work: Any) -> None:
    from sutler.cli.target import run

    async def session(client: Sutler) -> None:
        await work(client)

    run(target_of(context), session)


def _name(connection: str) -> str:
    return connection if "/" in connection else f"connections/{connection}"


def _fields(text: str) -> list[str]:
    return [field.strip() for field in text.split(",") if field.strip()]


def _put_domain(request: Any, domain: str) -> None:
    from sutler.wire import to_value

    if not domain:
        return
    try:
        given = json.loads(domain)
    except ValueError as error:
        raise Misused(f"--domain is no JSON: {error}") from error
    if not isinstance(given, list):
        raise Misused('--domain must be a JSON list, such as \'[["state","=","sale"]]\'')
    request.domain.CopyFrom(to_value(given).list_value)
