"""What the domain needs from outside, in its own words: types of provider, and a store."""

from services.provider.ports.book import Book, Happening, Operations, SetShelf, Store
from services.provider.ports.kinds import Kinds, ProviderKind
from services.provider.ports.listing import ChangeKind, Listed, Listing, Noticed, Pages
from services.provider.ports.reconciliations import Reconciliations, Turn
from services.provider.ports.shelves import (
    MachineShelf,
    PriceShelf,
    ProviderShelf,
    RequestShelf,
    Shelf,
    SpanShelf,
    TemplateShelf,
)

__all__ = [
    "Book",
    "ChangeKind",
    "Happening",
    "Kinds",
    "Listed",
    "Listing",
    "MachineShelf",
    "Noticed",
    "Operations",
    "Pages",
    "PriceShelf",
    "ProviderKind",
    "ProviderShelf",
    "Reconciliations",
    "RequestShelf",
    "SetShelf",
    "Shelf",
    "SpanShelf",
    "Store",
    "TemplateShelf",
    "Turn",
]
