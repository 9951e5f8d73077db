"""Checks providers and templates against what their types can do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sutler.errors import Invalid, SutlerError, Violation, invalid

from services.provider.expansion import unknown_variables
from services.provider.leasing import lease_fits
from services.provider.ports import Book, Kinds, ProviderKind
from services.provider.providers import Provider, ProviderState
from services.provider.templates import Template, effective


def kind_of(kinds: Kinds, name: str, field: str) -> ProviderKind:
    """Returns a type of provider.

    Raises:
        Invalid: If no such type is installed (PROVIDER_TYPE_UNKNOWN).
    """
    kind = kinds.get(name)
    if kind is None:
        known = ", ".join(sorted(kinds))
        raise invalid(
            field,
            f"{name!r} is no type of provider here; use one of {known}",
            reason="PROVIDER_TYPE_UNKNOWN",
            metadata={"type": name, "known": known},
        )
    return kind


def checked_provider(kinds: Kinds, provider: Provider, before: Provider | None = None) -> Provider:
    """Returns a provider with the defaults of its config filled in.

    Raises:
        Invalid: If something about it is wrong (PROVIDER_TYPE_UNKNOWN, FIELD_IMMUTABLE, CONFIG_INVALID,
            REGION_UNKNOWN, API_UNKNOWN, TEMPLATE_INVALID).
    """
    if before is not None and before.type != provider.type:
        raise invalid("provider.type", "cannot change; create another provider", reason="FIELD_IMMUTABLE")
    kind = kind_of(kinds, provider.type, "provider.type")
    kind.facts.check_known()
    config = kind.check_config(provider.config)
    check_regions(kind, provider.regions, "provider.regions")
    defaults = provider.template_defaults
    if defaults is not None:
        where = "provider.template_defaults"
        _check_api(kind, defaults, where)
        _refuse(list(_template_violations(kind, effective(defaults, [kind.facts.template_defaults]), where)))
    return replace(provider, config=config, state=_state(provider, before))


def checked_template(book: Book, kinds: Kinds, template: Template, where: str = "template") -> Template:
    """Returns a template that has been checked against its provider, or its type, without calling the provider.

    Raises:
        Invalid: If something about it is wrong (TEMPLATE_INVALID, API_UNKNOWN, REGION_UNKNOWN,
            PROVIDER_TYPE_UNKNOWN).
    """
    provider = _provider_of(book, template, where)
    if provider is not None:
        kind = kind_of(kinds, provider.type, f"{where}.provider")
        if template.provider_type and template.provider_type != provider.type:
            wrong = Violation(f"{where}.provider_type", f"{provider.name} is of type {provider.type}", "TYPE_MISMATCH")
            raise template_invalid([wrong])
        _check_on(kind, template, defaults_of(kind, provider), where)
        return template
    if template.provider_type:
        choices: Sequence[ProviderKind] = [kind_of(kinds, template.provider_type, f"{where}.provider_type")]
    else:
        choices = [k for k in kinds.values() if not template.api or _knows(k, template.api)] or list(kinds.values())
    _check_on_one(choices, template, where)
    return template


def check_regions(kind: ProviderKind, regions: Sequence[str], field: str) -> None:
    """Checks that a type knows regions.

    Raises:
        Invalid: If it does not know one of them (REGION_UNKNOWN).
    """
    for index, region in enumerate(regions):
        if kind.facts.regions and region not in kind.facts.regions:
            known = ", ".join(kind.facts.regions)
            raise invalid(
                f"{field}[{index}]",
                f"type {kind.facts.type} has no region {region!r}; use one of {known}",
                reason="REGION_UNKNOWN",
                metadata={"region": region},
            )


def defaults_of(kind: ProviderKind, provider: Provider) -> Sequence[Template]:
    """Returns what fills in what a template leaves unset, those that go before others first."""
    own = [provider.template_defaults] if provider.template_defaults else []
    return [*own, kind.facts.template_defaults]


def template_invalid(violations: Sequence[Violation]) -> Invalid:
    """Returns the error for a template that asks for what cannot be had (TEMPLATE_INVALID)."""
    first = violations[0]
    return Invalid(
        f"{first.field}: {first.description}",
        reason="TEMPLATE_INVALID",
        metadata={"field": first.field},
        violations=violations,
    )


def _state(provider: Provider, before: Provider | None) -> ProviderState:
    if not provider.usable:
        return ProviderState.DISABLED
    known = before is not None and before.state is not ProviderState.DISABLED
    return before.state if before is not None and known else ProviderState.STARTING


def _provider_of(book: Book, template: Template, where: str) -> Provider | None:
    if not template.provider:
        return None
    provider = book.providers.get(template.tenant, template.provider)
    if provider is None:
        raise template_invalid([Violation(f"{where}.provider", f"{template.provider} does not exist", "NOT_FOUND")])
    return provider


def _check_on_one(choices: Sequence[ProviderKind], template: Template, where: str) -> None:
    """Checks that a template suits one of several types; what the first one says of it is told."""
    problem: SutlerError | None = None
    for kind in choices:
        try:
            _check_on(kind, template, [kind.facts.template_defaults], where)
            return
        except SutlerError as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _check_on(kind: ProviderKind, template: Template, defaults: Sequence[Template], where: str) -> None:
    kind.facts.check_known()
    whole = effective(template, defaults)
    _check_api(kind, whole, where)
    check_regions(kind, whole.regions, f"{where}.regions")
    _refuse(list(_template_violations(kind, whole, where)))


def _check_api(kind: ProviderKind, template: Template, where: str) -> None:
    if template.api and not _knows(kind, template.api):
        known = ", ".join(api.api for api in kind.facts.apis)
        raise invalid(
            f"{where}.api",
            f"type {kind.facts.type} has no api {template.api!r}; use one of {known}",
            reason="API_UNKNOWN",
            metadata={"api": template.api, "known": known},
        )


def _knows(kind: ProviderKind, api: str) -> bool:
    return any(facts.api == api for facts in kind.facts.apis)


def _template_violations(kind: ProviderKind, template: Template, where: str) -> Iterator[Violation]:
    for field in template.foreign:
        if field.partition(".")[0] in kind.facts.takes:
            continue
        yield Violation(f"{where}.{field}", f"type {kind.facts.type} does not take it", "CAPABILITY_MISSING")
    if not lease_fits(template.lease_duration, template):
        yield Violation(f"{where}.lease_duration", "is longer than max_lease_duration", "LEASE_TOO_LONG")
    for violation in kind.check_template(template):
        yield Violation(f"{where}.{violation.field}", violation.description, violation.reason)
    spec = template.process
    if spec is not None:
        texts = [(f"process.command[{index}]", text) for index, text in enumerate(spec.command)]
        texts += [(f"process.environment[{key!r}]", text) for key, text in spec.environment.items()]
        for field, text in texts:
            for name in unknown_variables(text):
                yield Violation(f"{where}.{field}", f"there is no variable {name!r}", "VARIABLE_UNKNOWN")


def _refuse(violations: Sequence[Violation]) -> None:
    if violations:
        raise template_invalid(violations)
