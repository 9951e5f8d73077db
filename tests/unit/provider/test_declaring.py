"""Providers and templates: created, changed and deleted under conditions, and checked against their types."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from sutler.context import ANONYMOUS, Principal
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, NotFound, PermissionDenied
from sutler.ids import new_id

from services.provider import acquiring, declaring
from services.provider.acquiring import Order
from services.provider.checking import checked_provider, checked_template
from services.provider.declaring import Update
from services.provider.providers import Provider, ProviderState
from services.provider.templates import ProcessSpec, Template
from services.provider.using import user_of_provider, user_of_template
from tests.unit.provider.yard import LAB, SMALL, TENANT, World, world


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


def template(**changes: Any) -> Template:
    return Template(**{"tenant": TENANT, "name": "templates/new", "uid": new_id(), "provider": LAB, **changes})


async def create(here: World, thing: Template, *, validate_only: bool = False) -> Template:
    return await here.do(
        lambda book: declaring.create(
            book.templates,
            thing,
            lambda wanted: checked_template(book, here.kinds, wanted),
            validate_only=validate_only,
        )
    )


async def update(here: World, how: Update, principal: Principal = ANONYMOUS, **changes: Any) -> Template:
    return await here.do(
        lambda book: declaring.update(
            book.templates,
            principal,
            how,
            lambda stored: replace(stored or template(), **changes),
            lambda wanted: wanted,
        )
    )


async def test_names_are_unique_ignoring_case_and_keep_it(here: World) -> None:
    await create(here, template(name="templates/New"))
    for validate_only in (False, True):
        with pytest.raises(AlreadyExists):
            await create(here, template(), validate_only=validate_only)
    assert (await here.do(lambda book: declaring.get(book.templates, TENANT, "templates/New"))).name == "templates/New"
    with pytest.raises(NotFound):
        await here.do(lambda book: declaring.get(book.templates, TENANT, "templates/new"))


async def test_validate_only_stores_nothing(here: World) -> None:
    await create(here, template(), validate_only=True)
    assert await here.do(lambda book: book.templates.get(TENANT, "templates/new")) is None


async def test_an_update_needs_the_etag_that_it_names(here: World) -> None:
    created = await create(here, template())
    first = declaring.etag(created)
    how = Update(tenant=TENANT, name=created.name, etag=first)
    changed = await update(here, how, max_count=5)
    assert changed.max_count == 5
    assert declaring.etag(changed) != first
    with pytest.raises(Conflict) as refused:
        await update(here, how, max_count=6)
    assert refused.value.reason == "ETAG_MISMATCH"


async def test_an_update_creates_only_where_it_may(here: World) -> None:
    how = Update(tenant=TENANT, name="templates/new")
    with pytest.raises(NotFound):
        await update(here, how)
    how = replace(how, allow_missing=True)
    with pytest.raises(PermissionDenied) as refused:
        await update(here, how, Principal("user:anna", grants=("provider.templates.update",)))
    assert refused.value.metadata["permission"] == "provider.templates.create"
    assert (await update(here, how)).revision == 1


async def test_what_is_used_is_not_deleted(here: World) -> None:
    order = Order(tenant=TENANT, template=SMALL, count=1)
    await here.do(lambda book: acquiring.accept(book, here.kinds, here.limits, order))
    with pytest.raises(FailedPrecondition) as refused:
        await here.do(
            lambda book: declaring.delete(
                book.templates, Update(tenant=TENANT, name=SMALL), lambda t: user_of_template(book, t)
            )
        )
    assert refused.value.reason == "IN_USE"
    with pytest.raises(FailedPrecondition) as refused:
        await here.do(
            lambda book: declaring.delete(
                book.providers, Update(tenant=TENANT, name=LAB), lambda p: user_of_provider(book, p)
            )
        )
    assert refused.value.metadata["user"] == SMALL


async def test_a_delete_of_nothing(here: World) -> None:
    how = Update(tenant=TENANT, name="templates/none")
    with pytest.raises(NotFound):
        await here.do(lambda book: declaring.delete(book.templates, how, lambda t: None))
    missing = replace(how, allow_missing=True)
    await here.do(lambda book: declaring.delete(book.templates, missing, lambda t: None))


@pytest.mark.parametrize(
    ("changes", "reason", "field"),
    [
        ({"provider": "providers/none"}, "TEMPLATE_INVALID", "template.provider"),
        ({"provider_type": "other"}, "TEMPLATE_INVALID", "template.provider_type"),
        ({"provider": "", "provider_type": "other"}, "PROVIDER_TYPE_UNKNOWN", "template.provider_type"),
        ({"api": "unknown"}, "API_UNKNOWN", "template.api"),
        ({"provider": "", "api": "unknown"}, "API_UNKNOWN", "template.api"),
        ({"regions": ("here", "nowhere")}, "REGION_UNKNOWN", "template.regions[1]"),
        ({"foreign": ("image",)}, "TEMPLATE_INVALID", "template.image"),
        ({"process": ProcessSpec(command=("forbidden",))}, "TEMPLATE_INVALID", "template.process.command"),
        ({"process": ProcessSpec(command=("a", "{{ x }}"))}, "TEMPLATE_INVALID", "template.process.command[1]"),
    ],
)
async def test_what_a_template_cannot_ask_for(here: World, changes: dict[str, Any], reason: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await create(here, template(**changes))
    assert refused.value.reason == reason
    assert refused.value.violations[0].field == field


async def test_all_that_is_wrong_is_told_at_once(here: World) -> None:
    with pytest.raises(Invalid) as refused:
        await create(here, template(foreign=("image", "role"), process=ProcessSpec(command=("forbidden",))))
    assert len(refused.value.violations) == 3


class TestProviders:
    def provider(self, **changes: Any) -> Provider:
        return Provider(**{"tenant": TENANT, "name": "providers/new", "uid": new_id(), "type": "yard", **changes})

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"type": "azur"}, "PROVIDER_TYPE_UNKNOWN"),
            ({"regions": ("nowhere",)}, "REGION_UNKNOWN"),
            ({"template_defaults": Template(api="unknown")}, "API_UNKNOWN"),
            ({"template_defaults": Template(foreign=("image",))}, "TEMPLATE_INVALID"),
        ],
    )
    async def test_what_is_wrong(self, here: World, changes: dict[str, Any], reason: str) -> None:
        with pytest.raises(Invalid) as refused:
            checked_provider(here.kinds, self.provider(**changes))
        assert refused.value.reason == reason

    async def test_the_type_cannot_change(self, here: World) -> None:
        with pytest.raises(Invalid) as refused:
            checked_provider(here.kinds, self.provider(), self.provider(type="other"))
        assert refused.value.reason == "FIELD_IMMUTABLE"

    async def test_the_state_follows_the_switch(self, here: World) -> None:
        new = checked_provider(here.kinds, self.provider())
        healthy = replace(new, state=ProviderState.HEALTHY)
        off = checked_provider(here.kinds, replace(healthy, enabled=False), healthy)
        on = checked_provider(here.kinds, replace(off, enabled=True), off)
        kept = checked_provider(here.kinds, replace(healthy, priority=3), healthy)
        assert [p.state for p in (new, off, on, kept)] == [
            ProviderState.STARTING,
            ProviderState.DISABLED,
            ProviderState.STARTING,
            ProviderState.HEALTHY,
        ]
