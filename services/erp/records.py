"""Records: what was read, the fields that a caller asks for, and the etag of both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson
import xxhash
from sutler.errors import SutlerError

from services.erp import faults
from services.erp.schemas import FieldType, ModelSchema

EVERYTHING = "*"
EXTERNAL_ID = "external_id"
DISPLAY_NAME = "display_name"


class Origin(StrEnum):
    """Who answered; the names are those of the contract."""

    ERP = "ERP"
    NEAR_CACHE = "NEAR_CACHE"
    CACHE_SERVICE = "CACHE_SERVICE"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """Where an answer comes from.

    Attributes:
        origin: Who answered.
        read_time: When its oldest part was read from the ERP, in epoch seconds.
        stale: Whether it is older than asked for, because the ERP did not answer.
        error: Why the ERP did not answer; only if ``stale``.
    """

    origin: Origin = Origin.ERP
    read_time: float = 0.0
    stale: bool = False
    error: SutlerError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A record as a driver reads it: values in the gateway's own forms, relations as ids.

    Attributes:
        id: The id in the ERP.
        values: By field; see the contract's Record.values.
        create_time: Epoch seconds, None if the ERP did not tell.
        update_time: Epoch seconds, None if the ERP did not tell.
        display_name: Its title; empty if it was not asked for.
    """

    id: int
    values: dict[str, Any]
    create_time: float | None = None
    update_time: float | None = None
    display_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record as callers see it. The attributes are those of the contract; times in epoch seconds."""

    model: str
    id: int
    values: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    external_id: str = ""
    etag: str = ""
    create_time: float | None = None
    update_time: float | None = None
    source: DataSource | None = None

    def plain(self) -> dict[str, Any]:
        """Returns it as JSON data, without its source; the values are the same, which nobody changes."""
        return {name: getattr(self, name) for name in PLAIN}


PLAIN = tuple(one.name for one in fields(Record) if one.name != "source")


@dataclass(slots=True)
class Tree:
    """The fields that a caller asks for, as a tree along the relations.

    Attributes:
        asked: Whether the field itself was named, and not only something below it.
        below: What is asked of the related records, by field.
    """

    asked: bool = False
    below: dict[str, Tree] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Returns the fields of this level."""
        return list(self.below)


def field_tree(fields: Iterable[str]) -> Tree:
    """Returns dotted paths as a tree."""
    root = Tree()
    for path in fields:
        node = root
        for part in path.split("."):
            node = node.below.setdefault(part, Tree())
        node.asked = True
    return root


def expand_star(fields: Sequence[str], schema: ModelSchema) -> list[str]:
    """Returns the fields with ``*`` written out: every field of the model but binaries."""
    if EVERYTHING not in fields:
        return list(fields)
    every = [name for name, known in schema.fields.items() if known.type is not FieldType.BINARY]
    return list(dict.fromkeys([*every, *(name for name in fields if name != EVERYTHING)]))


def check_level(tree: Tree, schema: ModelSchema, place: str = "fields") -> None:
    """Checks the fields of one level against the model.

    Raises:
        Invalid: If one does not exist, or a path leads through what is no relation (FIELD_NOT_FOUND).
    """
    for name, node in tree.below.items():
        known = schema.fields.get(name)
        if known is None:
            raise faults.field_not_found(schema.name, name, place)
        if node.below and not known.related:
            raise faults.field_not_found(schema.name, f"{name}.{next(iter(node.below))}", place)


def canonical(value: Any) -> bytes:
    """Returns JSON data as bytes that are the same in every process."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def hash_of(value: Any) -> str:
    """Returns the xxh3-64 of JSON data as 16 hexadecimal digits."""
    return xxhash.xxh3_64(canonical(value)).hexdigest()


def key_of(value: Any) -> str:
    """Returns a digest of JSON data that nobody can find another value for: for keys that keep users apart."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class FieldSet:
    """What an etag covers: which fields were read, in which form.

    Attributes:
        fields: The paths, as asked.
        binaries: Whether binaries were read in full.
        language: The language that values are translated to.
    """

    fields: tuple[str, ...]
    binaries: bool = False
    language: str = ""

    @property
    def digest(self) -> str:
        """Names the set in an etag."""
        return _digest(self.fields, self.binaries, self.language)


@lru_cache(maxsize=4096)
def _digest(fields: tuple[str, ...], binaries: bool, language: str) -> str:
    return hash_of([sorted(set(fields)), binaries, language])


def record_etag(values: Mapping[str, Any], covers: FieldSet) -> str:
    """Returns the etag of the values of a record: their hash, and the digest of which fields they are."""
    return f'"{hash_of(values)}-{covers.digest}"'


def etag_covers(etag: str) -> str:
    """Returns the digest of the field set that an etag covers; empty if it is not one of ours."""
    return etag.strip('"').partition("-")[2]
