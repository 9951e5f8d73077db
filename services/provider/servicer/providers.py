"""The RPCs about providers and their types."""

from __future__ import annotations

from typing import Any

from google.longrunning.operations_pb2 import Operation
from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.ids import new_id
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.provider.v1 import provider_pb2 as pb

from services.provider import declaring
from services.provider.checking import checked_provider
from services.provider.declaring import Update
from services.provider.ports import Book
from services.provider.providers import COLLECTION, Provider
from services.provider.reconcile.accepting import accept
from services.provider.servicer.parts import Parts
from services.provider.typelist import list_types
from services.provider.using import user_of_provider
from services.provider.wire import providers as wire
from services.provider.wire import reconciliations


class ProviderRpcs:
    """Get, List, Create, Update, Delete, Check and Reconcile providers; list their types."""

    _parts: Parts

    async def GetProvider(self, request: pb.GetProviderRequest, context: Any) -> pb.Provider:
        """Gets one provider."""
        tenant = current().tenant
        return await self._parts.store.read(
            lambda book: self._shown(book, declaring.get(book.providers, tenant, request.name))
        )

    async def ListProviders(self, request: pb.ListProvidersRequest, context: Any) -> pb.ListProvidersResponse:
        """Lists providers."""
        tenant = current().tenant
        counts = await self._parts.store.scan(lambda book: book.machines.live_by_provider(tenant))
        found, token = await self._parts.lister.page(
            self._parts.listings.providers, request, lambda p: self._message(p, counts.get(p.name, 0))
        )
        return pb.ListProvidersResponse(providers=found, next_page_token=token)

    async def CreateProvider(self, request: pb.CreateProviderRequest, context: Any) -> pb.Provider:
        """Creates a provider."""
        name = f"{COLLECTION}/{request.provider_id}"
        provider = wire.from_message(request.provider, current().tenant, name, new_id())

        def create(book: Book) -> pb.Provider:
            created = declaring.create(
                book.providers,
                provider,
                lambda wanted: checked_provider(self._parts.kinds, wanted),
                validate_only=request.validate_only,
            )
            return self._message(created, 0)

        return await self._parts.store.change(create, once(lambda message: message))

    async def UpdateProvider(self, request: pb.UpdateProviderRequest, context: Any) -> pb.Provider:
        """Changes a provider."""
        wanted = request.provider
        how = Update(
            tenant=current().tenant,
            name=wanted.name,
            etag=wanted.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        mask = request.update_mask if request.HasField("update_mask") else None
        principal = current().principal

        def update(book: Book) -> pb.Provider:
            before = book.providers.get(how.tenant, how.name)
            changed = declaring.update(
                book.providers,
                principal,
                how,
                lambda stored: wire.merged(stored, wanted, mask, how, new_id()),
                lambda merged: checked_provider(self._parts.kinds, merged, before),
            )
            return self._shown(book, changed)

        return await self._parts.store.change(update, once(lambda message: message))

    async def DeleteProvider(self, request: pb.DeleteProviderRequest, context: Any) -> Empty:
        """Deletes a provider."""
        how = Update(
            tenant=current().tenant,
            name=request.name,
            etag=request.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )

        def delete(book: Book) -> Empty:
            declaring.delete(book.providers, how, lambda provider: user_of_provider(book, provider))
            return Empty()

        return await self._parts.store.change(delete, once(lambda message: message))

    async def CheckProvider(self, request: pb.CheckProviderRequest, context: Any) -> pb.CheckProviderResponse:
        """Calls a provider and says what it found."""
        return wire.checkup_message(await self._parts.checkups.check(current().tenant, request.name))

    async def ReconcileProvider(self, request: pb.ReconcileProviderRequest, context: Any) -> Operation:
        """Compares what a provider has with the record."""
        wish = reconciliations.wish(request, current())
        return await self._parts.store.change(
            lambda book: to_pb(accept(book, self._parts.kinds, wish)), once(lambda message: message)
        )

    async def ListProviderTypes(
        self, request: pb.ListProviderTypesRequest, context: Any
    ) -> pb.ListProviderTypesResponse:
        """Lists the types that a provider can have here."""
        types = list_types(self._parts.kinds)
        found, token = await self._parts.lister.page(types, request, wire.type_message)
        return pb.ListProviderTypesResponse(provider_types=found, next_page_token=token)

    def _shown(self, book: Book, provider: Provider) -> pb.Provider:
        return self._message(provider, book.machines.count_live(provider.tenant, provider=provider.name))

    def _message(self, provider: Provider, machine_count: int) -> pb.Provider:
        kind = self._parts.kinds.get(provider.type)
        return wire.to_message(provider, kind.facts if kind is not None else None, machine_count)
