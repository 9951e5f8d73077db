"""CacheService: protobuf to the cache's own terms and back."""

from __future__ import annotations

from sutler.operations.servicer import OperationBook, OperationsServicer

from services.cache.servicer.blobs import BlobRpcs
from services.cache.servicer.caches import CacheRpcs
from services.cache.servicer.changes import ChangeRpcs
from services.cache.servicer.data_types import DataTypeRpcs
from services.cache.servicer.leases import LeaseRpcs
from services.cache.servicer.reads import ReadRpcs
from services.cache.servicer.statistics import StatisticsRpcs
from services.cache.servicer.verification import VerificationRpcs
from services.cache.servicer.watches import WatchRpcs
from services.cache.servicer.work import Work


class CacheServicer(
    CacheRpcs,
    ReadRpcs,
    ChangeRpcs,
    BlobRpcs,
    LeaseRpcs,
    WatchRpcs,
    StatisticsRpcs,
    DataTypeRpcs,
    VerificationRpcs,
    OperationsServicer,
):
    """All RPCs of CacheService.

    Args:
        work: To whom the work is handed.
        book: Where operations are.
    """

    def __init__(self, work: Work, book: OperationBook) -> None:
        CacheRpcs.__init__(self, work)
        OperationsServicer.__init__(self, book)


__all__ = ["CacheServicer", "Work"]
