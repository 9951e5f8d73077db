"""Objects as files in a folder."""

from sutler.backends import Capability

from services.cache.adapters.filesystem.store import FilesystemBytes, FilesystemOptions

DESCRIPTION = "Files in a folder; for several hosts if all of them mount it"
CAPABILITIES = (Capability.DURABLE, Capability.RANGES)

__all__ = ["CAPABILITIES", "DESCRIPTION", "FilesystemBytes", "FilesystemOptions"]
