"""CacheService: protobuf to the cache's own terms and back."""

from __future__ import annotations

from services.cache.servicer.blobs import BlobRpcs
from services.cache.servicer.caches import CacheRpcs
from services.cache.servicer.changes import ChangeRpcs
from services.cache.servicer.reads import ReadRpcs
from services.cache.servicer.work import Work


class CacheServicer(CacheRpcs, ReadRpcs, ChangeRpcs, BlobRpcs):
    """All RPCs of CacheService that this release offers."""


__all__ = ["CacheServicer", "Work"]
