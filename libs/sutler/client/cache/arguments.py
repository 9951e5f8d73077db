"""What programs give: keys, lists of texts and times, checked before a call is made of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import SupportsFloat


def checked_key(key: object) -> str:
    """Returns a key.

    Raises:
        TypeError: If it is no text.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key is a text, not {key!r}: sutler.client.cache.key_of makes one of any values")
    return key


def checked_texts(name: str, values: Iterable[object]) -> tuple[str, ...]:
    """Returns several texts, such as keys or tags; one text would count as its letters.

    Args:
        name: What they are, for the error.
        values: The texts.

    Raises:
        TypeError: If it is one text, or not all are texts.
    """
    if isinstance(values, str):
        raise TypeError(f"{name} is one text: give a list, such as {name}=[{values!r}]")
    found = tuple(values)
    for each in found:
        if not isinstance(each, str):
            raise TypeError(f"{name} holds {each!r}, which is no text")
    return found  # type: ignore[return-value]


def seconds_of(name: str, time: object) -> float:
    """Returns a length of time in seconds.

    Args:
        name: What it is, for the error.
        time: A number of seconds, or a timedelta.

    Raises:
        TypeError: If it is neither.
    """
    if isinstance(time, timedelta):
        return time.total_seconds()
    if isinstance(time, SupportsFloat):
        return float(time)
    raise TypeError(f"{name} is {time!r}: give seconds or a timedelta, such as {name}=60")
