"""The RPCs about templates."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.ids import new_id
from sutler.interceptors.idempotency import once
from sutler.provider.v1 import provider_pb2 as pb

from services.provider import declaring
from services.provider.checking import checked_template
from services.provider.declaring import Update
from services.provider.ports import Book
from services.provider.servicer.parts import Parts
from services.provider.templates import COLLECTION
from services.provider.using import user_of_template
from services.provider.validating import validate
from services.provider.wire import templates as wire


class TemplateRpcs:
    """Get, List, Create, Update, Delete and Validate templates."""

    _parts: Parts

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Any) -> pb.Template:
        """Gets one template."""
        tenant = current().tenant
        found = await self._parts.store.read(lambda book: declaring.get(book.templates, tenant, request.name))
        return wire.to_message(found)

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Any) -> pb.ListTemplatesResponse:
        """Lists templates."""
        found, token = await self._parts.lister.page(self._parts.listings.templates, request, wire.to_message)
        return pb.ListTemplatesResponse(templates=found, next_page_token=token)

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Any) -> pb.Template:
        """Creates a template."""
        name = f"{COLLECTION}/{request.template_id}"
        template = wire.from_message(request.template, current().tenant, name, new_id())

        def create(book: Book) -> pb.Template:
            created = declaring.create(
                book.templates,
                template,
                lambda wanted: checked_template(book, self._parts.kinds, wanted),
                validate_only=request.validate_only,
            )
            return wire.to_message(created)

        return await self._parts.store.change(create, once(lambda message: message))

    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Any) -> pb.Template:
        """Changes a template."""
        wanted = request.template
        how = Update(
            tenant=current().tenant,
            name=wanted.name,
            etag=wanted.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        mask = request.update_mask if request.HasField("update_mask") else None
        principal = current().principal

        def update(book: Book) -> pb.Template:
            changed = declaring.update(
                book.templates,
                principal,
                how,
                lambda stored: wire.merged(stored, wanted, mask, how, new_id()),
                lambda merged: checked_template(book, self._parts.kinds, merged),
            )
            return wire.to_message(changed)

        return await self._parts.store.change(update, once(lambda message: message))

    async def DeleteTemplate(self, request: pb.DeleteTemplateRequest, context: Any) -> Empty:
        """Deletes a template."""
        how = Update(
            tenant=current().tenant,
            name=request.name,
            etag=request.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )

        def delete(book: Book) -> Empty:
            declaring.delete(book.templates, how, lambda template: user_of_template(book, template))
            return Empty()

        return await self._parts.store.change(delete, once(lambda message: message))

    async def ValidateTemplate(self, request: pb.ValidateTemplateRequest, context: Any) -> pb.ValidateTemplateResponse:
        """Checks a template against its provider."""
        tenant = current().tenant
        given = wire.from_message(request.template, tenant) if request.HasField("template") else None
        found = await validate(self._parts.store, self._parts.kinds, tenant, request.name, given)
        return wire.validation_message(found)
