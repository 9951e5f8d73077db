"""Calls providers from time to time to know how well they can be used."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import structlog
from sutler.errors import Invalid, SutlerError, not_found

from services.provider.checking import kind_of
from services.provider.diagnostics import Category, Diagnostic, Kind
from services.provider.ports import Book, Kinds, ProviderKind, Store
from services.provider.providers import Checkup, Provider, ProviderState

log = structlog.get_logger("sutler.provider")

PAGE = 100


class Checkups:
    """Checks providers, and keeps what was found.

    Args:
        store: What is stored.
        kinds: The types of provider.
        every: Seconds between two checks of a provider.
    """

    def __init__(self, store: Store, kinds: Kinds, every: float) -> None:
        self._store = store
        self._kinds = kinds
        self._every = every

    async def check(self, tenant: str, name: str) -> Checkup:
        """Calls a provider, keeps the state that follows, and returns what was found.

        Raises:
            NotFound: If there is none.
            Invalid: If its type is not installed any more (PROVIDER_TYPE_UNKNOWN).
        """
        provider = await self._store.read(lambda book: book.providers.get(tenant, name))
        if provider is None:
            raise not_found(name)
        return await self._check(provider)

    async def run(self) -> None:
        """Checks all providers again and again until it is cancelled."""
        while True:
            try:
                for kind in self._kinds:
                    await self._check_all(kind)
            except SutlerError as error:
                log.warning("providers not checked", reason=error.reason, error=error.message)
            await asyncio.sleep(self._every)

    async def _check_all(self, kind: str) -> None:
        after = ("", "")
        while True:
            page = await self._store.scan(partial(_of_type, kind=kind, after=after))
            for provider in page:
                try:
                    await self._check(provider)
                except SutlerError:
                    raise
                except Exception:  # one fault keeps no other provider
                    log.exception("provider not checked", provider=provider.name)
            if len(page) < PAGE:
                return
            after = (page[-1].tenant, page[-1].name)

    async def _check(self, provider: Provider) -> Checkup:
        kind = kind_of(self._kinds, provider.type, "provider.type")
        checkup = _config_problem(kind, provider) or await kind.check(provider)

        def keep(book: Book) -> None:
            found = book.providers.get(provider.tenant, provider.name)
            if found is not None and found.uid == provider.uid:
                state = checkup.state if found.usable else ProviderState.DISABLED
                book.providers.observe(
                    replace(found, state=state, state_reason=checkup.state_reason, check_time=book.now)
                )

        await self._store.change(keep)
        return checkup


def _config_problem(kind: ProviderKind, provider: Provider) -> Checkup | None:
    """Returns what is wrong with a config that was right when it was stored; None if nothing is."""
    try:
        kind.check_config(provider.config)
    except Invalid as error:
        log.warning("config of a provider is not valid", provider=provider.name, error=error.message)
        found = Diagnostic(
            category=Category.VALIDATION,
            kind=Kind.PERMANENT,
            code=error.reason,
            summary=error.message[:1024],
            provider=provider.name,
            field=error.violations[0].field if error.violations else "",
        )
        return Checkup(state=ProviderState.UNHEALTHY, state_reason=found.summary, diagnostics=(found,))
    return None


def _of_type(book: Book, kind: str, after: tuple[str, str]) -> Sequence[Provider]:
    return book.providers.of_type(kind, after, PAGE)
