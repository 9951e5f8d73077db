"""All that goes on behind the calls where NATS is configured."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from sutler.store import Database

from services.rule.adapters.nats.carrying import Carrier
from services.rule.adapters.nats.handing import Hands, Roomy, Takes
from services.rule.adapters.nats.link import Link
from services.rule.adapters.nats.sources import Consumer
from services.rule.adapters.nats.stream import Place
from services.rule.sourcing import Source, Sourcing

HAND_OUT_SECONDS = 10.0
"""After how long any process takes from the database what NATS has not handed out."""

Works = dict[str, Coroutine[Any, Any, None]]


def handing_works(
    database: Database, link: Link, place: Place, takes: Takes, engine: Roomy, lease_seconds: float
) -> Works:
    """Returns what carries events and hands out work."""
    return {
        "events to NATS": Carrier(database, link, place, lease_seconds).run(),
        "work from NATS": Hands(link, place, takes, engine).run(),
    }


def source_works(
    database: Database, link: Link, place: Place, sources: Sequence[Source], sourcing: Sourcing, lease_seconds: float
) -> Works:
    """Returns what consumes sources, and the connection for it and for all else."""
    consumers = {source.name: Consumer(database, link, place, source, sourcing, lease_seconds) for source in sources}
    return {"NATS": link.run(), **{f"source {name}": consumer.run() for name, consumer in consumers.items()}}
