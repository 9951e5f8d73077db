"""Blobs as objects of a byte store: files, memory, S3, or what others bring."""

from services.cache.adapters.objects.blobs import ObjectBlobs
from services.cache.adapters.objects.owner import Owner

__all__ = ["ObjectBlobs", "Owner"]
