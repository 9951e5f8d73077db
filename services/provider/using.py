"""What still uses a provider or template."""

from __future__ import annotations

from services.provider.ports import Book
from services.provider.providers import Provider
from services.provider.templates import Template


def user_of_provider(book: Book, provider: Provider) -> str | None:
    """Returns the name of a template, price table, request or machine that needs a provider; None if nothing does."""
    tenant, name = provider.tenant, provider.name
    living = book.machines.count_live(tenant, provider=name)
    return (
        book.templates.with_provider(tenant, name)
        or next((table.name for table in book.price_tables.of_provider(tenant, name)), None)
        or book.requests.open_with(tenant, provider=name)
        or (f"{living} machines" if living else None)
    )


def user_of_template(book: Book, template: Template) -> str | None:
    """Returns the name of a request with a template that has not ended; None if there is none."""
    return book.requests.open_with(template.tenant, template=template.name)
