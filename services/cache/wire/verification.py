"""Reports of VerifyCache: domain to protobuf."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from sutler.cache.v1 import cache_pb2 as pb

from services.cache.problems import Problem, Report


def to_response(report: Report) -> bytes:
    """Returns the response of an operation, as it is stored."""
    packed = Any()
    packed.Pack(
        pb.VerifyCacheResponse(
            entry_count=report.entries,
            blob_count=report.blobs,
            read_bytes=report.read_bytes,
            problem_count=report.found,
            repaired_count=report.repaired,
            removed_count=report.removed,
            problems=map(_problem, report.problems),
        )
    )
    return packed.SerializeToString()


def _problem(problem: Problem) -> pb.CacheProblem:
    return pb.CacheProblem(
        kind=int(problem.kind),  # type: ignore[arg-type]
        outcome=int(problem.outcome),  # type: ignore[arg-type]
        key=problem.key,
        blob=pb.BlobReference(sha256=problem.sha256) if problem.sha256 else None,
        detail=problem.detail,
    )
