"""Objects in a bucket of Amazon S3, or of a store that speaks like it.

What needs the package ``aiobotocore`` is imported when a store is made, so that the type is known without it.
"""

from __future__ import annotations

from sutler.backends import ByteStore, Capability

from services.cache.adapters.s3.options import S3Options

DESCRIPTION = "A bucket of Amazon S3, or of a store that speaks like it; for any number of hosts"
CAPABILITIES = (Capability.DURABLE, Capability.SHARED, Capability.RANGES)
REQUIRED_PACKAGES = ("aiobotocore",)


def s3_bytes(options: S3Options) -> ByteStore:
    """Returns the store in a bucket; it connects with its first call.

    Raises:
        ImportError: If aiobotocore is not installed.
    """
    from services.cache.adapters.s3.store import S3Bytes

    return S3Bytes(options)


__all__ = ["CAPABILITIES", "DESCRIPTION", "REQUIRED_PACKAGES", "S3Options", "s3_bytes"]
