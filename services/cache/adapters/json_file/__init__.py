"""An ordered store in one JSON file that people can read, for caches of few entries."""

from sutler.backends import Capability

from services.cache.adapters.json_file.store import JsonOptions, JsonStore

DESCRIPTION = "One JSON file that people can read, written anew with each change; for one host and few entries"
CAPABILITIES = (Capability.DURABLE,)
MAX_ENTRIES = 1000

__all__ = ["CAPABILITIES", "DESCRIPTION", "MAX_ENTRIES", "JsonOptions", "JsonStore"]
