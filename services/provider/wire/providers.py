"""Providers and their types as messages."""

from __future__ import annotations

from dataclasses import replace

from google.protobuf.field_mask_pb2 import FieldMask
from sutler.masks import merge
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import to_status
from sutler.wire import from_struct, timestamp, to_struct

from services.provider.declaring import Update, etag
from services.provider.providers import ApiFacts, Checkup, Provider, TypeFacts
from services.provider.wire import diagnostics, templates
from services.provider.wire.machines import DOMAIN
from services.provider.wire.times import span, stamp


def from_message(message: pb.Provider, tenant: str, name: str, uid: str) -> Provider:
    """Returns a provider as a caller wrote it."""
    defaults = message.template_defaults
    return Provider(
        tenant=tenant,
        name=name,
        uid=uid,
        type=message.type,
        display_name=message.display_name,
        config=from_struct(message.config),
        regions=tuple(message.regions),
        enabled=message.enabled if message.HasField("enabled") else None,
        priority=message.priority,
        weight=message.weight if message.HasField("weight") else None,
        max_machines=message.max_machines,
        template_defaults=templates.from_message(defaults, tenant) if message.HasField("template_defaults") else None,
    )


def merged(stored: Provider | None, wanted: pb.Provider, mask: FieldMask | None, how: Update, uid: str) -> Provider:
    """Returns a provider as an update makes it, or creates it; ``uid`` is that of a new one."""
    if stored is None:
        return from_message(wanted, how.tenant, how.name, uid)
    changed = from_message(
        merge(to_message(stored, None), wanted, mask, below="provider"), how.tenant, how.name, stored.uid
    )
    return replace(
        changed,
        state=stored.state,
        state_reason=stored.state_reason,
        check_time=stored.check_time,
        reconcile_time=stored.reconcile_time,
        create_time=stored.create_time,
        revision=stored.revision,
    )


def to_message(provider: Provider, facts: TypeFacts | None, machine_count: int = 0) -> pb.Provider:
    """Returns a provider as the API shows it.

    Args:
        provider: The provider.
        facts: What its type can do; None if that is not installed any more.
        machine_count: How many machines live there.
    """
    message = pb.Provider(
        name=provider.name,
        display_name=provider.display_name,
        type=provider.type,
        config=to_struct(provider.config),
        regions=provider.regions,
        enabled=provider.enabled,
        priority=provider.priority,
        weight=provider.weight,
        max_machines=provider.max_machines,
        template_defaults=templates.to_message(provider.template_defaults) if provider.template_defaults else None,
        state=int(provider.state),  # type: ignore[arg-type]
        state_reason=provider.state_reason,
        check_time=stamp(provider.check_time),
        reconcile_time=stamp(provider.reconcile_time),
        machine_count=machine_count,
    )
    if provider.revision:
        message.uid = provider.uid
        message.etag = etag(provider)
        message.create_time.CopyFrom(timestamp(provider.create_time))
        message.update_time.CopyFrom(timestamp(provider.update_time))
    if facts is not None:
        message.apis.extend(_api(api) for api in facts.apis)
        message.capabilities.extend(int(capability) for capability in facts.capabilities)  # type: ignore[misc]
        message.region_health.extend(_region(region, provider) for region in provider.regions or facts.regions)
    return message


def type_message(facts: TypeFacts) -> pb.ProviderType:
    """Returns a type as the API shows it."""
    return pb.ProviderType(
        type=facts.type,
        display_name=facts.display_name,
        description=facts.description,
        version=facts.version,
        source=int(facts.source),  # type: ignore[arg-type]
        config_schema=to_struct(facts.config_schema),
        apis=[_api(api) for api in facts.apis],
        capabilities=[int(capability) for capability in facts.capabilities],  # type: ignore[misc]
        regions=facts.regions,
        template_defaults=templates.to_message(facts.template_defaults),
        example_configs=[to_struct(config) for config in facts.example_configs],
        example_templates=[templates.to_message(template) for template in facts.example_templates],
        error=to_status(facts.error, DOMAIN) if facts.error is not None else None,
    )


def checkup_message(checkup: Checkup) -> pb.CheckProviderResponse:
    """Returns what a check found as the API shows it."""
    return pb.CheckProviderResponse(
        state=int(checkup.state),  # type: ignore[arg-type]
        state_reason=checkup.state_reason,
        identity=checkup.identity,
        version=checkup.version,
        latency=span(checkup.latency),
        diagnostics=[diagnostics.to_message(diagnostic) for diagnostic in checkup.diagnostics],
    )


def _api(facts: ApiFacts) -> pb.ProviderApi:
    return pb.ProviderApi(
        api=facts.api,
        display_name=facts.display_name,
        description=facts.description,
        capabilities=[int(capability) for capability in facts.capabilities],  # type: ignore[misc]
        price_types=[pb.PRICE_TYPE_ON_DEMAND],
        max_count=facts.max_count,
    )


def _region(region: str, provider: Provider) -> pb.RegionHealth:
    return pb.RegionHealth(
        region=region,
        state=int(provider.state),  # type: ignore[arg-type]
        breaker=pb.RegionHealth.BREAKER_CLOSED,
    )
