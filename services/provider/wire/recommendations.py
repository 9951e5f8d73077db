"""Recommendations as messages."""

from __future__ import annotations

from sutler.provider.v1 import provider_pb2 as pb

from services.provider.cost.advice import Recommendation
from services.provider.wire.amounts import amount
from services.provider.wire.times import stamp

MAX_MACHINES = 100


def to_message(advice: Recommendation) -> pb.Recommendation:
    """Returns a recommendation as the API shows it."""
    return pb.Recommendation(
        kind=int(advice.kind),  # type: ignore[arg-type]
        summary=advice.summary[:1024],
        provider=advice.provider,
        template=advice.template,
        machines=advice.machines[:MAX_MACHINES],
        machine_count=len(advice.machines),
        machine_type=advice.wanted.machine_type,
        proposed_machine_type=advice.proposed_type,
        proposed_provider=advice.proposed_provider,
        proposed_region=advice.proposed_region,
        hourly_price=amount(advice.price.hourly if advice.price is not None else None),
        proposed_hourly_price=amount(advice.proposed.hourly if advice.proposed is not None else None),
        monthly_saving=amount(advice.monthly_saving),
        observe_time=stamp(advice.observe_time),
        price_time=stamp(advice.price_time),
    )
