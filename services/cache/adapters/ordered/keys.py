"""The keys of all records: readable text, whose order is the order in which they are looked through.

A record of a cache has the cache's number in its key, one of a tenant the tenant. Numbers that order are written with
leading zeros.
"""

from __future__ import annotations

from urllib.parse import quote

INSTALLATION = b"installation"
"""Whose the store is."""

SPACES = b"cache/"
"""How keys of what is known of caches begin."""

DUE = b"due/"
"""How keys of what has an end begin."""

GARBAGE = b"garbage/"
"""How keys of files that nobody refers to begin."""


def text(key: bytes) -> str:
    """Returns a key, or a part of one, as text."""
    return key.decode()


def below(start: bytes) -> bytes:
    """Returns the first key after all that begin with ``start`` and have something behind it."""
    return start[:-1] + bytes([start[-1] + 1])


def after(key: bytes) -> bytes:
    """Returns the first key that is greater."""
    return key + b"\0"


def tenant_head(tenant: str) -> bytes:
    """The record that every change of a tenant's entries is based on, and changes."""
    return f"tenant/{quote(tenant, safe='')}".encode()


def space(number: int) -> bytes:
    """What is known of a cache."""
    return SPACES + str(number).encode()


def space_number(found: bytes) -> int:
    """Returns the number of the cache of which a record tells what is known."""
    return int(found[len(SPACES) :])


def entries(number: int) -> bytes:
    """How keys of the entries of a cache begin."""
    return f"entry/{number}/".encode()


def entry(number: int, key: str) -> bytes:
    """An entry without its value."""
    return entries(number) + key.encode()


def value(number: int, key: str) -> bytes:
    """The value of an entry that has it beside its metadata."""
    return f"value/{number}/{key}".encode()


def leases(number: int) -> bytes:
    """How keys of the leases of a cache begin."""
    return f"lease/{number}/".encode()


def lease(number: int, key: str) -> bytes:
    """A lease."""
    return leases(number) + key.encode()


def all_tags(number: int) -> bytes:
    """How keys of the index of tags of a cache begin."""
    return f"tag/{number}/".encode()


def tags(number: int, tag: str) -> bytes:
    """How keys of the entries with a tag begin. The length tells where the tag ends."""
    return f"tag/{number}/{len(tag)}:{tag}/".encode()


def tag(number: int, tag: str, key: str) -> bytes:
    """Says that an entry has a tag."""
    return tags(number, tag) + key.encode()


def tagged(number: int, found: bytes) -> tuple[str, str]:
    """Returns tag and key of the entry that a key of the index of tags names."""
    length, _, rest = text(found[len(all_tags(number)) :]).partition(":")
    return rest[: int(length)], rest[int(length) + 1 :]


def ranks(number: int) -> bytes:
    """How keys of the order of eviction of a cache begin."""
    return f"rank/{number}/".encode()


def rank(number: int, worth: float, key: str) -> bytes:
    """Where an entry stands in the order of eviction: what is worth least comes first."""
    return f"rank/{number}/{_sortable(worth)}/{key}".encode()


def ranked(number: int, found: bytes) -> str:
    """Returns the key of the entry that a key of the order of eviction names."""
    return text(found[len(ranks(number)) :]).partition("/")[2]


def blob(tenant: str, backend: str, sha256: str) -> bytes:
    """A blob of a tenant."""
    return f"blob/{quote(tenant, safe='')}/{backend}/{sha256}".encode()


def locator(name: str) -> bytes:
    """Says which record names the file of a blob: that of the blob, or that of the garbage."""
    return f"locator/{name}".encode()


def garbage(drop_time: float, name: str) -> bytes:
    """A file that nobody refers to any more."""
    return GARBAGE + f"{_sortable(drop_time)}/{name}".encode()


def garbage_locator(found: bytes) -> str:
    """Returns the locator of a file that nobody refers to any more."""
    return text(found[len(GARBAGE) :]).partition("/")[2]


def garbage_until(time: float) -> bytes:
    """Returns the end of the garbage that there was at a time."""
    return GARBAGE + _sortable(time).encode()


def news(number: int) -> bytes:
    """How keys of what followers of a cache are told begin."""
    return f"news/{number}/".encode()


def new(number: int, position: int) -> bytes:
    """One thing that followers are told."""
    return news(number) + f"{position:020d}".encode()


def position(number: int, found: bytes) -> int:
    """Returns the number of the thing that a key of the news names."""
    return int(found[len(news(number)) :])


def request(tenant: str, method: str, request_id: str) -> bytes:
    """The answer to a request."""
    return f"request/{quote(tenant, safe='')}/{request_id}{method}".encode()


def data_types(tenant: str) -> bytes:
    """How keys of a tenant's data types begin."""
    return f"type/{quote(tenant, safe='')}/".encode()


def data_type(tenant: str, number: int, name: str) -> bytes:
    """How many entries of a cache of a tenant have a data type."""
    return data_types(tenant) + f"{number}/{name}".encode()


def typed(tenant: str, found: bytes) -> tuple[int, str]:
    """Returns number of the cache and name of the data type that a record counts."""
    number, _, name = text(found[len(data_types(tenant)) :]).partition("/")
    return int(number), name


def due(time: float, what: bytes) -> bytes:
    """Says that a record has an end, and when to look at it."""
    return DUE + f"{_sortable(time)}/".encode() + what


def due_until(time: float) -> bytes:
    """Returns the end of what is to be looked at by a time."""
    return DUE + _sortable(time).encode()


def due_record(found: bytes) -> bytes:
    """Returns the key of the record that is to be looked at."""
    return found[len(DUE) :].partition(b"/")[2]


def _sortable(number: float) -> str:
    return f"{number:020.6f}"
