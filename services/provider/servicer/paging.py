"""Pages of lists: tokens in, messages that fit out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from sutler.context import current
from sutler.paging import Pager, fitting, page_size

from services.provider.ports import Listed, Pages

T = TypeVar("T")
M = TypeVar("M", bound=Message)


class Lister:
    """Answers List requests.

    Args:
        pager: Makes page tokens.
    """

    def __init__(self, pager: Pager) -> None:
        self._pager = pager

    async def page(self, listing: Pages[T], request: Any, to_message: Callable[[T], M]) -> tuple[list[M], str]:
        """Returns the messages of one page, and the token of the next; empty at the end."""
        tenant, method = current().tenant, current().method
        size = page_size(request)
        after = self._pager.position(tenant, method, request)
        found = await listing.find(tenant, request.filter, request.order_by, after, size + 1)
        return self._fit(tenant, method, request, found, size, to_message)

    def _fit(
        self,
        tenant: str,
        method: str,
        request: Any,
        found: Sequence[Listed[T]],
        size: int,
        to_message: Callable[[T], M],
    ) -> tuple[list[M], str]:
        messages = [to_message(listed.item) for listed in found[:size]]
        count = fitting(message.ByteSize() for message in messages)
        more = len(found) > count
        token = self._pager.token(tenant, method, request, found[count - 1].position) if more else ""
        return messages[:count], token
