"""Blobs as objects of a byte store: files, memory, S3, or what others bring."""

from services.cache.adapters.objects.blobs import ObjectBlobs

__all__ = ["ObjectBlobs"]
