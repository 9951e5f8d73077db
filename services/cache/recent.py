"""What was answered a moment ago, given again while nothing has changed: for keys that everybody asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.cache.accesses import Place
from services.cache.caches import Cache
from services.cache.entries import Entry
from services.cache.forms import Form
from services.cache.results import Version

FRESH_SECONDS = 1.0
"""How long an answer is given again: hit counts and access times are told this much later."""

MAX_ANSWER_BYTES = 65_536
"""Larger answers are made anew: there, the value itself is most of the work."""

_OVERHEAD = 400


@dataclass(frozen=True, slots=True)
class Answer:
    """An entry as it was answered.

    Attributes:
        data: The bytes of the answer.
        until: Until when it may be given again, in seconds since 1970; at most until the entry expires.
        place: Whose accesses it counts.
    """

    data: bytes
    until: float
    place: Place


@dataclass(slots=True)
class _Shelf:
    """The answers of one cache: all are of one version."""

    revision: int
    version: int
    answers: dict[Form, dict[str, Answer]] = field(default_factory=dict)


class Recent:
    """Keeps answers, with the version of the cache's entries for which they are right.

    A version that is asked for after a call came in, and is still that of the kept answers, proves that no entry was
    changed since by anybody. Changes of this process are told, so that its own puts take away their own keys only.

    Args:
        max_bytes: How much is kept; all is forgotten when that is reached. 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._shelves: dict[int, _Shelf] = {}

    def has(self, cache: Cache, form: Form, key: str) -> bool:
        """Returns whether there is an answer, right or not."""
        shelf = self._shelves.get(cache.space)
        return shelf is not None and key in shelf.answers.get(form, ())

    def right(self, cache: Cache, form: Form, version: Version | None) -> Mapping[str, Answer]:
        """Returns the answers that are right for a version, by key; each only until its end."""
        if version is None or cache.space not in self._shelves:
            return {}
        shelf = self._shelf(cache, version.number)
        return {} if shelf is None else shelf.answers.get(form, {})

    def keep(self, cache: Cache, form: Form, entry: Entry, data: bytes, version: int | None, now: float) -> None:
        """Keeps the answer made of an entry that was read with, or after, the version."""
        size = len(data) + len(entry.key) + _OVERHEAD
        if not form.lasting or cache.rules.sliding or len(data) > MAX_ANSWER_BYTES or size > self._max_bytes:
            return
        shelf = None if version is None else self._shelf(cache, version)
        if shelf is None:
            return
        self._bytes += size
        if self._bytes > self._max_bytes:
            shelf.answers.clear()
            self._shelves, self._bytes = {cache.space: shelf}, size
        until = now + FRESH_SECONDS
        if entry.expire_time is not None:
            until = min(until, entry.expire_time)
        place = (cache.space, entry.key, entry.put_time)
        shelf.answers.setdefault(form, {})[entry.key] = Answer(data, until, place)

    def changed(self, cache: Cache, versions: tuple[int, int] | None, keys: Sequence[str]) -> None:
        """Takes away what a change of this process has changed, which led from one version to another."""
        shelf = self._shelves.get(cache.space)
        if shelf is None or versions is None or shelf.version != versions[0]:
            return
        for answers in shelf.answers.values():
            for key in keys:
                answers.pop(key, None)
        shelf.version = versions[1]

    def _shelf(self, cache: Cache, version: int) -> _Shelf | None:
        """Returns where answers of a version belong; None if there are newer ones."""
        shelf = self._shelves.get(cache.space)
        if shelf is not None and shelf.revision == cache.revision:
            if shelf.version == version:
                return shelf
            if shelf.version > version:
                return None
        shelf = self._shelves[cache.space] = _Shelf(cache.revision, version)
        return shelf
