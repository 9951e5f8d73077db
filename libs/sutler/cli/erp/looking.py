"""``sutler erp models``, ``describe``, ``search`` and ``get``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sutler.cli.erp.columns import Column, columns_of, plain
from sutler.cli.output import as_yaml, print_json, print_table, show, to_dict
from sutler.cli.screen import Format, console, errors
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import NotFound

PAGE_SIZE = 1000
FIELD_COLUMNS = ("field", "type", "relation", "required", "readonly", "label")


async def models(client: Sutler, connection: str, text: str, output: Format) -> None:
    """Prints the models of an ERP.

    Raises:
        SutlerError: What the gateway answers.
    """
    found: list[erp_pb2.Model] = []
    request = erp_pb2.ListModelsRequest(parent=connection, filter=text, page_size=PAGE_SIZE)
    while True:
        answer = await client.erp.ListModels(request)
        found += answer.models
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    if output is Format.TABLE:
        print_table(("model", "displayName"), [to_dict(one) for one in found])
    else:
        show(found, output)


async def describe(client: Sutler, connection: str, model: str, output: Format) -> None:
    """Prints the fields of a model. Raises as :func:`models`."""
    found = await client.erp.DescribeModel(erp_pb2.DescribeModelRequest(connection=connection, model=model))
    if output is not Format.TABLE:
        show([found], output, single=True)
        return
    rows = [to_dict(one) for one in found.fields]
    for row in rows:
        row["type"] = str(row.get("type", "")).removeprefix("TYPE_").lower()
    print_table(FIELD_COLUMNS, rows)


async def search(client: Sutler, request: erp_pb2.SearchRecordsRequest, limit: int, output: Format) -> None:
    """Prints the records that match, up to a limit, and says if there are more. Raises as :func:`models`."""
    columns = await columns_of(client, request.connection, request.model, request.fields)
    found: list[erp_pb2.Record] = []
    while len(found) < limit:
        request.page_size = min(PAGE_SIZE, limit - len(found))
        answer = await client.erp.SearchRecords(request)
        found += answer.records
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    _show(found, columns, output)
    if request.page_token:
        errors.print(f"only the first {len(found)}; --limit shows more, sutler erp export all", markup=False)


async def get(
    client: Sutler, connection: str, model: str, ids: Sequence[int], fields: Sequence[str], output: Format
) -> None:
    """Prints the records by id that exist.

    Raises:
        NotFound: If one does not exist.
        SutlerError: What the gateway answers.
    """
    columns = await columns_of(client, connection, model, fields)
    found: list[erp_pb2.Record] = []
    missing: list[int] = []
    request = erp_pb2.BatchGetRecordsRequest(
        connection=connection, model=model, ids=ids, fields=fields, allow_missing=True
    )
    while True:
        answer = await client.erp.BatchGetRecords(request)
        found += answer.records
        missing += answer.missing_ids
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    if found:
        _show(found, columns, output)
    if missing:
        named = ", ".join(str(one) for one in dict.fromkeys(missing))
        raise NotFound(f"{connection} has no {model} {named}, or the ERP hides it from its user")


def _show(records: Sequence[erp_pb2.Record], columns: Sequence[Column], output: Format) -> None:
    found = [plain(one, columns) for one in records]
    if output is Format.JSON:
        print_json(found)
    elif output is Format.YAML:
        console.print("---\n".join(as_yaml(one) for one in found), markup=False, soft_wrap=True, end="")
    else:
        rows = [{column.path: _cell(column, one) for column in columns} for one in found]
        print_table([column.path for column in columns], rows)


def _cell(column: Column, record: dict[str, Any]) -> Any:
    """Returns a value for people: relations by their titles, nothing for what is not there."""
    value = column.find(record)
    ends = value if isinstance(value, list) else [value]
    titles = [one.get("display_name", one.get("id")) if isinstance(one, dict) else one for one in ends]
    return ", ".join("" if one is None else str(one).lower() if isinstance(one, bool) else str(one) for one in titles)
