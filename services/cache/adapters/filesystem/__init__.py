"""Blobs as files in a folder."""

from services.cache.adapters.filesystem.blobs import FilesystemBlobs, open_blobs

__all__ = ["FilesystemBlobs", "open_blobs"]
