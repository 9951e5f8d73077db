"""Splits and joins names: `BatchGetEntries`, `batchGetEntries`, `batch_get_entries`."""

from __future__ import annotations

import re
from collections.abc import Sequence


def words(name: str) -> list[str]:
    """Splits a camel-case name: `BatchGetEntries` → Batch, Get, Entries."""
    return re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", name)


def lower_camel(parts: Sequence[str]) -> str:
    """Joins words: Batch, Get → `batchGet`."""
    joined = "".join(parts)
    return joined[:1].lower() + joined[1:]


def snake(name: str) -> str:
    """Turns a camel-case name into snake case: `priceTables` → `price_tables`."""
    return "_".join(words(name)).lower()


def beginnings(name: str) -> list[str]:
    """Returns what the name can begin with, in lower camel case: `GetCacheStats` → get, getCache, getCacheStats."""
    parts = words(name)
    return [lower_camel(parts[: i + 1]) for i in range(len(parts))]


def verbs(name: str, collection: str) -> list[str]:
    """Returns what can be the verb of an RPC on a collection.

    That is a beginning of its name, or the name without the collection: `ReadMachineOutput` on `machines` is
    `readOutput`.
    """
    parts, found = words(name), beginnings(name)
    for start in range(1, len(parts)):
        for end in range(start + 1, len(parts) + 1):
            if lower_camel(parts[start:end]) in singulars(collection):
                found.append(lower_camel(parts[:start] + parts[end:]))
    return found


def singulars(plural: str) -> set[str]:
    """Returns a plural with what its singular may be: `entries`, `entrie`, `entri`, `entry`."""
    return {plural, plural.removesuffix("s"), plural.removesuffix("es"), plural.removesuffix("ies") + "y"}


def area(package: str) -> str:
    """Returns the area of a package: `sutler.cache.v1` → `cache`."""
    return package.split(".")[1]
