"""``sutler erp export``: all records that match, in a file that is whole or not there."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sutler.cli.erp import files
from sutler.cli.erp.columns import Column, columns_of, plain
from sutler.cli.screen import Failed, Form, Misused, errors
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import SutlerError, Unavailable

STDOUT = Path("-")
PAUSE_SECONDS = 1.0
TRIES = 5
"""How often an export that breaks off is tried again without a record in between."""


def form_of(file: Path, given: Form | None) -> Form:
    """Returns the form of a file: the given one, or what its suffix says; JSON lines for the standard output.

    Raises:
        Misused: If neither says it, Parquet shall go to the standard output, or the file is a folder.
    """
    if file.is_dir():
        raise Misused(f"{file} is a folder: name a file in it")
    suffix = file.suffix.removeprefix(".").lower()
    known = next((form for form in Form if form == suffix), Form.JSONL if file == STDOUT else None)
    form = given or known
    if form is None:
        raise Misused(f"{file}: name the form with -o {'|'.join(Form)}, or by the suffix of the file")
    if form is Form.PARQUET:
        if file == STDOUT:
            raise Misused("a Parquet file cannot go to the standard output; name a file")
        files.check_parquet()
    return form


@dataclass(slots=True)
class Part:
    """What of an export is on disk: the records so far, and where to go on.

    Attributes:
        digest: Tells the export from others.
        token: Goes on after what is on disk.
        size: How many bytes of the file count.
        columns: The paths of the columns.
    """

    digest: str
    token: str = ""
    size: int = 0
    columns: list[str] = field(default_factory=list)


async def export(client: Sutler, request: erp_pb2.ExportRecordsRequest, file: Path, form: Form) -> None:
    """Exports records to a file, or to the standard output; goes on with what an earlier call has left.

    Raises:
        SutlerError: What the gateway answers, after it was asked again if it was not there.
        Failed: If another export writes the file.
        OSError: If the file cannot be written.
    """
    columns = await columns_of(client, request.connection, request.model, request.fields)
    if file == STDOUT:
        sys.stdout.write(files.head(form, columns))
        async for chunk in _chunks(client, request):
            sys.stdout.write(files.lines(form, columns, [plain(one, columns) for one in chunk.records]))
        return
    count = await _to_file(client, request, file, form, columns)
    errors.print(f"exported {count} records to {file}", markup=False)


async def _to_file(
    client: Sutler, request: erp_pb2.ExportRecordsRequest, file: Path, form: Form, columns: Sequence[Column]
) -> int:
    body, state = file.with_name(f"{file.name}.part"), file.with_name(f"{file.name}.part.json")
    count = 0
    with _locked(body, file) as out:
        part = _found(body, state, Part(_digest(request, form), columns=[column.path for column in columns]))
        out.truncate(part.size)
        out.seek(part.size)
        if not part.size:
            out.write(files.head(form, columns).encode())
        request.resume_token = part.token
        try:
            async for chunk in _chunks(client, request):
                out.write(files.lines(form, columns, [plain(one, columns) for one in chunk.records]).encode())
                out.flush()
                count, part.token, part.size = chunk.exported_count, chunk.resume_token, out.tell()
                _keep(state, part)
        except (SutlerError, asyncio.CancelledError):
            if part.token:
                errors.print(f"broken off; the same command goes on from {body}", markup=False)
            else:
                body.unlink()
            raise
        out.flush()
        os.fsync(out.fileno())
        whole = body
        if form is Form.PARQUET:
            whole = file.with_name(f"{file.name}.part.parquet")
            with body.open(encoding="utf-8") as source:
                files.to_parquet(source, whole, columns)
        state.unlink(missing_ok=True)  # first, as the next export may begin as soon as there is no body
        whole.replace(file)
        body.unlink(missing_ok=True)
    return count


@contextmanager
def _locked(body: Path, file: Path) -> Iterator[IO[bytes]]:
    """Opens what is written of a file, for one export at a time.

    Raises:
        Failed: If another export writes it.
    """
    if file.exists():
        errors.print(f"{file} is there already, and is replaced at the end", markup=False)
    while True:
        with open(body, "r+b", opener=lambda path, flags: os.open(path, flags | os.O_CREAT, 0o666)) as out:
            try:
                fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failed(f"another export writes {file}: wait until it ends, or name another file") from None
            if _is_at(out, body):
                yield out
                return


def _is_at(out: IO[bytes], path: Path) -> bool:
    """Returns whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(out.fileno()), path.stat())
    except FileNotFoundError:
        return False


async def _chunks(
    client: Sutler, request: erp_pb2.ExportRecordsRequest
) -> AsyncIterator[erp_pb2.ExportRecordsResponse]:
    """Yields the chunks of an export, with a bar on a terminal; goes on by itself if the connection breaks."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal, redirect_stdout=False)
    with bar as progress:
        task = progress.add_task(request.model, total=None)
        left = TRIES
        while True:
            try:
                async for chunk in client.erp.ExportRecords(request):
                    if chunk.resume_token:
                        yield chunk
                        request.resume_token, left = chunk.resume_token, TRIES
                        progress.update(task, completed=chunk.exported_count, total=chunk.total_size)
                return
            except Unavailable as error:
                left -= 1
                if not left:
                    raise
                pause = max(PAUSE_SECONDS, error.retry_after.total_seconds() if error.retry_after else 0.0)
                if pause > PAUSE_SECONDS:
                    errors.print(f"{error.message} [{error.reason}]; goes on in {pause:.0f} s", markup=False)
            await asyncio.sleep(pause)


def _digest(request: erp_pb2.ExportRecordsRequest, form: Form) -> str:
    return hashlib.sha256(form.encode() + request.SerializeToString(deterministic=True)).hexdigest()


def _found(body: Path, state: Path, new: Part) -> Part:
    """Returns what an earlier call of the same export has left; else the new one, and drops what there is."""
    try:
        found = Part(**json.loads(state.read_text()))
        if (found.digest, found.columns) == (new.digest, new.columns) and body.stat().st_size >= found.size:
            errors.print(f"going on from {body}", markup=False)
            return found
    except FileNotFoundError:
        return new
    except (OSError, ValueError, TypeError):
        pass
    errors.print(f"{body} is of another export, and is begun anew", markup=False)
    state.unlink()
    return new


def _keep(state: Path, part: Part) -> None:
    written = state.with_name(f"{state.name}.new")
    written.write_text(json.dumps(asdict(part)))
    written.replace(state)
