"""Which first answers are looked up."""

from __future__ import annotations

from sutler.interceptors.idempotency import Answers

_SERVICE = "/sutler.cache.v1.CacheService/"
UNREMEMBERED = frozenset(
    _SERVICE + name
    for name in (
        "PutEntry",
        "BatchPutEntries",
        "DeleteEntry",
        "BatchDeleteEntries",
        "TouchEntry",
        "BatchTouchEntries",
    )
)
"""What repeats safely, so that no record of it is kept (see the contract): a look-up would only cost time."""


class RememberedAnswers:
    """First answers of those methods that keep a record of them.

    Args:
        answers: The records.
    """

    def __init__(self, answers: Answers) -> None:
        self.late = answers.late
        self._answers = answers

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of the request and the first answer, or None."""
        if method in UNREMEMBERED:
            return None
        return await self._answers.find(tenant, method, request_id)
