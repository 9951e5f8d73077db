"""Validates a template against its provider, and says what is wrong instead of refusing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sutler.errors import Invalid, Violation

from services.provider import declaring
from services.provider.checking import checked_template, defaults_of, kind_of
from services.provider.ports import Book, Kinds, Store
from services.provider.providers import Provider
from services.provider.selection import choose
from services.provider.templates import Template, effective


@dataclass(frozen=True, slots=True)
class Validation:
    """What a validation found.

    Attributes:
        violations: What is wrong.
        effective: The template with all defaults filled in.
    """

    violations: Sequence[Violation]
    effective: Template


async def validate(store: Store, kinds: Kinds, tenant: str, name: str, given: Template | None) -> Validation:
    """Returns what is wrong with a template: in itself first, then at its provider.

    Args:
        store: What is stored.
        kinds: The types of provider.
        tenant: Whose template it is.
        name: The name of a stored template, unless one is given.
        given: A template that need not be stored.

    Raises:
        NotFound: If there is no template of that name.
        FailedPrecondition: If no provider can be used (NOTHING_SELECTED, PROVIDER_DISABLED).
    """

    def prepare(book: Book) -> tuple[Template, Sequence[Violation], Provider | None]:
        template = given if given is not None else declaring.get(book.templates, tenant, name)
        template = replace(template, tenant=tenant)
        try:
            checked_template(book, kinds, template)
        except Invalid as error:
            return template, error.violations, None
        return template, (), choose(book, kinds, template).provider

    template, violations, provider = await store.scan(prepare)
    if provider is None:
        return Validation(violations, template)
    kind = kind_of(kinds, provider.type, "provider.type")
    whole = effective(template, defaults_of(kind, provider))
    whole = replace(whole, provider=provider.name, api=whole.api or kind.facts.apis[0].api)
    there = await kind.check_there(whole, provider.config)
    return Validation([replace(v, field=f"template.{v.field}") for v in there], whole)
