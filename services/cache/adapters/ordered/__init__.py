"""The metadata backend over any ordered store of keys and values: JSON files, Redis, and what others bring.

Every entry, tag, lease, blob and piece of news is a record under a key of :mod:`.keys`. A change reads what it looks
at, decides, and commits all that it writes in one step, on the condition that the record of its tenant is still as it
was read; each change counts there. So nothing is ever half done, and no lock is held.
"""

from services.cache.adapters.ordered.entries import OrderedEntries

__all__ = ["OrderedEntries"]
