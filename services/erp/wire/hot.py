"""Messages of records that are near, made once for as long as they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from sutler.erp.v1 import erp_pb2

from services.erp.records import Origin, Record
from services.erp.wire import records as wire

MAX_MESSAGES = 4096
MAX_MESSAGE_BYTES = 8192


class HotRecords:
    """Remembers messages of records by their values, which the near cache gives to all who ask."""

    def __init__(self) -> None:
        self._made: OrderedDict[int, tuple[Mapping[str, Any], erp_pb2.Record]] = OrderedDict()

    def message(self, one: Record) -> erp_pb2.Record:
        """Returns a record as a message of the caller's own."""
        if one.source is None or one.source.origin is not Origin.NEAR_CACHE:
            return wire.record(one)
        key = id(one.values)
        known = self._made.get(key)
        if known is None or known[0] is not one.values:
            message = wire.record(one)
            if message.ByteSize() <= MAX_MESSAGE_BYTES:
                self._made[key] = one.values, message
            if len(self._made) > MAX_MESSAGES:
                self._made.popitem(last=False)
            known = one.values, message
        found = erp_pb2.Record()
        found.CopyFrom(known[1])
        wire.put_source(found.source, one.source)
        return found
