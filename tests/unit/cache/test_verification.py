from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from services.cache.caches import Compression
from services.cache.checking import Checker
from services.cache.entries import Entry, Kind, checksum
from services.cache.packing import pack
from services.cache.problems import (
    MAX_PROBLEMS,
    Outcome,
    Problem,
    ProblemKind,
    Report,
    Run,
    Stage,
    from_document,
    to_document,
)
from services.cache.signing import Signer, sha256_of
from tests.unit.cache.views import NOW, cache

VALUE = b"value " * 100
SIGNER = Signer([bytes(32)])


class NoBlobs:
    """A place of blobs that is never asked."""


def entry(**fields: object) -> Entry:
    plain = Entry(
        "k", Kind.BYTES, '"e"', None, None, NOW, len(VALUE), len(VALUE), checksum(VALUE), NOW, NOW, NOW, value=VALUE
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


async def fault(found: Entry, *, metadata_only: bool = False, **rules: object) -> ProblemKind | None:
    checker = Checker(NoBlobs(), SIGNER, metadata_only=metadata_only, stop=asyncio.Event())  # type: ignore[arg-type]
    problem = await checker.fault(cache(**rules), found)
    return problem.kind if problem else None


async def test_values_are_compared_with_what_was_put() -> None:
    assert await fault(entry()) is None
    assert await fault(entry(value=VALUE[1:])) is ProblemKind.SIZE_MISMATCH
    assert await fault(entry(size=7)) is ProblemKind.SIZE_MISMATCH
    assert await fault(entry(value=VALUE[::-1])) is ProblemKind.CHECKSUM_MISMATCH
    assert await fault(entry(value=VALUE[::-1]), metadata_only=True) is None
    assert await fault(entry(value=None)) is ProblemKind.BLOB_MISSING


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.LZ4])
async def test_packed_values_are_unpacked_first(compression: Compression) -> None:
    packing, packed = pack(VALUE, compression)
    stored = entry(value=packed, packing=packing, stored_size=len(packed))
    assert await fault(stored) is None
    broken = bytes(len(packed))
    assert await fault(replace(stored, value=broken)) is ProblemKind.CHECKSUM_MISMATCH
    assert await fault(replace(stored, value=broken), metadata_only=True) is None


async def test_signatures_are_checked_where_the_cache_signs() -> None:
    assert await fault(entry(), signing=True) is ProblemKind.SIGNATURE_INVALID
    signed = SIGNER.signed(cache(signing=True), entry(), sha256_of(VALUE))
    assert await fault(signed, signing=True) is None
    assert await fault(signed, signing=True, metadata_only=True) is None
    assert await fault(replace(signed, tags=("other",)), signing=True) is ProblemKind.SIGNATURE_INVALID
    assert await fault(entry(signature="wrong"), signing=True) is ProblemKind.SIGNATURE_INVALID
    assert await fault(entry(signature="wrong"), signing=False) is None
    other = VALUE[::-1]
    forged = replace(signed, value=other, checksum=checksum(other))
    assert await fault(forged, signing=True) is ProblemKind.SIGNATURE_INVALID
    assert await fault(forged, signing=True, metadata_only=True) is None


def test_a_run_survives_a_restart() -> None:
    problem = Problem(ProblemKind.CHECKSUM_MISMATCH, key="\0\x01é", detail="d", put_time=NOW)
    run = Run("uid", True, False).found([problem], after="k", stage=Stage.ENTRIES)
    assert run.pending == (problem,)
    assert from_document(orjson.loads(orjson.dumps(to_document(run)))) == run
    settled = run.settled([problem.mended()])
    assert (settled.pending, settled.report.removed, settled.report.found) == ((), 1, 1)
    assert from_document(orjson.loads(orjson.dumps(to_document(settled)))) == settled


def test_what_is_only_reported_is_never_pending() -> None:
    problem = Problem(ProblemKind.TOTALS_WRONG)
    run = Run("uid", False, False).found([problem])
    assert (run.pending, run.report.problems) == ((), (problem,))
    assert problem.mended().outcome is Outcome.REPAIRED


def test_the_first_problems_are_told_and_all_are_counted() -> None:
    problems = [Problem(ProblemKind.BLOB_MISSING, key=str(number)) for number in range(700)]
    report = Report().told(problems).told(problems)
    assert (report.found, len(report.problems)) == (1400, MAX_PROBLEMS)
