"""Chooses the provider that a template's machines come from."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.errors import FailedPrecondition

from services.provider.checking import kind_of
from services.provider.ports import Book, Kinds
from services.provider.providers import Provider, ProviderState
from services.provider.requests import Candidate
from services.provider.templates import Template

MAX_CANDIDATES = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Attributes:
        provider: The provider.
        reason: Why this one, for people.
        candidates: What could have been chosen, the best first.
    """

    provider: Provider
    reason: str
    candidates: tuple[Candidate, ...]


def choose(book: Book, kinds: Kinds, template: Template) -> Choice:
    """Chooses a provider: the one that the template names, else the preferred one among those that fit.

    Preferred are healthy ones, then those with the lowest priority number, then by name.

    Raises:
        FailedPrecondition: If the provider is switched off (PROVIDER_DISABLED), or none fits (NOTHING_SELECTED).
        Invalid: If a provider's type is not installed any more (PROVIDER_TYPE_UNKNOWN).
    """
    if template.provider:
        provider = book.providers.get(template.tenant, template.provider)
        if provider is None:
            raise nothing(template, 0, "the provider does not exist")
        if not provider.usable:
            raise FailedPrecondition(
                f"{provider.name} is switched off; set its field enabled, or use another template",
                reason="PROVIDER_DISABLED",
                metadata={"provider": provider.name},
                resource=provider.name,
            )
        reason = "the template names it"
        return Choice(provider, reason, (_candidate(kinds, provider, template, reason, chosen=True),))
    return _preferred(book, kinds, template)


def _preferred(book: Book, kinds: Kinds, template: Template) -> Choice:
    fitting: list[Provider] = []
    unfit: list[tuple[Provider, str]] = []
    everything = book.providers.all(template.tenant)
    for provider in everything:
        problem = _problem(kinds, provider, template)
        if problem:
            unfit.append((provider, problem))
        else:
            fitting.append(provider)
    if not fitting:
        raise nothing(template, len(everything), unfit[0][1] if unfit else "there are no providers")
    fitting.sort(key=lambda p: (p.state is ProviderState.UNHEALTHY, p.priority, p.name))
    best = fitting[0]
    reason = f"first by health, priority ({best.priority}) and name among {len(fitting)} that fit"
    candidates = [_candidate(kinds, best, template, reason, chosen=True)]
    candidates += [_candidate(kinds, p, template, "stands behind the chosen one") for p in fitting[1:]]
    candidates += [_candidate(kinds, p, template, problem) for p, problem in unfit]
    return Choice(best, reason, tuple(candidates[:MAX_CANDIDATES]))


def _problem(kinds: Kinds, provider: Provider, template: Template) -> str:
    """Returns why a provider cannot be used; empty if it can."""
    if not provider.usable:
        return "it is switched off"
    if template.provider_type and provider.type != template.provider_type:
        return f"its type is {provider.type}"
    kind = kinds.get(provider.type)
    if kind is None:
        return f"its type {provider.type} is not installed"
    if template.api and all(api.api != template.api for api in kind.facts.apis):
        return f"it has no api {template.api}"
    return ""


def _candidate(kinds: Kinds, provider: Provider, template: Template, reason: str, *, chosen: bool = False) -> Candidate:
    region = region_of(kinds, provider, template) if provider.type in kinds else ""
    weight = 1 if provider.weight is None else provider.weight
    return Candidate(provider.name, region, chosen, reason, weight, int(provider.state))


def region_of(kinds: Kinds, provider: Provider, template: Template) -> str:
    """Returns the region to start machines in: the first of the template's, the provider's, the type's."""
    known = kind_of(kinds, provider.type, "provider.type").facts.regions
    return next(iter((*template.regions, *provider.regions, *known)), "")


def nothing(template: Template, candidates: int, cause: str) -> FailedPrecondition:
    """Returns the error for a template that no provider suits (NOTHING_SELECTED)."""
    return FailedPrecondition(
        f"no provider suits {template.name}: {cause}; create or enable one",
        reason="NOTHING_SELECTED",
        metadata={"candidates": str(candidates), "cause": cause},
        resource=template.name,
    )
