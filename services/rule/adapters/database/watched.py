"""What watches read of their logs: messages, each with its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from sutler.paging import fitting


@dataclass(frozen=True, slots=True)
class Told:
    """What a watch sends of one number.

    Attributes:
        number: The number.
        messages: The changes; none if they are not of the watch.
        size: How many bytes they take in a message.
    """

    number: int
    messages: Sequence[Message]
    size: int

    @staticmethod
    def of(number: int, messages: Sequence[Message]) -> Told:
        """Returns what is sent of a number."""
        return Told(number, messages, sum(message.ByteSize() for message in messages))


def entries(told: Sequence[Told]) -> Sequence[tuple[int, Told]]:
    """Returns entries of a log, as many as go into one message; one if there is one."""
    return [(one.number, one) for one in told[: fitting(one.size for one in told)]]
