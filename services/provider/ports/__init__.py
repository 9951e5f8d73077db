"""What the domain needs from outside, in its own words: types of provider, and a store."""

from services.provider.ports.book import Book, Operations, SetShelf, Store
from services.provider.ports.kinds import Kinds, ProviderKind
from services.provider.ports.listing import ChangeKind, Listed, Listing, Noticed, Pages
from services.provider.ports.shelves import MachineShelf, ProviderShelf, RequestShelf, Shelf, TemplateShelf

__all__ = [
    "Book",
    "ChangeKind",
    "Kinds",
    "Listed",
    "Listing",
    "MachineShelf",
    "Noticed",
    "Operations",
    "Pages",
    "ProviderKind",
    "ProviderShelf",
    "RequestShelf",
    "SetShelf",
    "Shelf",
    "Store",
    "TemplateShelf",
]
