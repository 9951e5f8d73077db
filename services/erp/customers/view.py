"""Where an ERP keeps customers and their orders: what its driver says, so that all else is the same for every ERP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from services.erp.schemas import ModelField, ModelSchema


class OrderState(StrEnum):
    """Where an order stands; the names are those of the contract."""

    UNSPECIFIED = "UNSPECIFIED"
    DRAFT = "DRAFT"
    CONFIRMED = "CONFIRMED"
    DONE = "DONE"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerView:
    """The models and fields behind customers and orders. What is empty, or what a server does not have, stays empty.

    Customers, contacts and orders take one call each. ``country``, ``language`` and ``currency`` may lead through one
    relation, as ``currency.code``: then the codes are read once and remembered, as there are few. ``country`` may
    begin with a relation to many, such as addresses, which takes one call more for a page; the first one that has a
    country counts. ``tax_id`` may be a relation whose title it is, and is then no field of filters. The others name a
    field of the model itself.

    Attributes:
        model: The model of customers.
        email: The e-mail address.
        phone: The phone number.
        reference: The customer's code or number.
        tax_id: The tax id.
        country: The country's two letters.
        language: The language.
        company: True for companies.
        active: False for archived customers.
        parent: Leads from a contact to whom it belongs, whose orders then include the contact's.
        searched: The texts that people may type to find a customer; the first is the name.
        match: Returns the domain of records one of whose fields fits a pattern for LIKE, regardless of case.
        order_model: The model of orders.
        order_customer: Leads from an order to its customer or contact.
        order_state: The state.
        order_time: The date, or date and time.
        order_total: The amount with taxes.
        order_untaxed: The amount without taxes.
        currency: The currency's three letters; a relation to one counts by its title.
        states: What the values of ``order_state`` mean; those that are not there have no match.
    """

    model: str
    email: str = ""
    phone: str = ""
    reference: str = ""
    tax_id: str = ""
    country: str = ""
    language: str = ""
    company: str = ""
    active: str = "active"
    parent: str = ""
    searched: tuple[str, ...] = ("name",)
    match: Callable[[str, Sequence[str]], Sequence[Any]]
    order_model: str
    order_customer: str
    order_state: str = "state"
    order_time: str
    order_total: str
    order_untaxed: str = ""
    currency: str
    states: Mapping[str, OrderState] = field(default_factory=dict)

    def country_holder(self, schema: ModelSchema) -> ModelField | None:
        """Returns the relation to many behind which customers have their country; None if it is their own."""
        known = schema.fields.get(self.country.partition(".")[0])
        return known if known is not None and known.to_many else None

    def customer_fields(self, schema: ModelSchema) -> list[str]:
        """Returns the fields of a customer to read, of those that the model has; of paths, the relation."""
        country = "" if self.country_holder(schema) else self.country
        paths = (self.email, self.phone, self.reference, self.tax_id, country, self.language, self.company)
        return _present((*paths, self.active, self.parent, *self.searched), schema.fields)

    def order_fields(self, known: Iterable[str]) -> list[str]:
        """Returns the fields of an order to read, of those that the model has; of paths, the relation."""
        paths = (self.order_customer, self.order_state, self.order_time, self.order_total, self.order_untaxed)
        return _present((*paths, self.currency), known)


def _present(paths: Iterable[str], known: Iterable[str]) -> list[str]:
    there = set(known)
    return list(dict.fromkeys(name for path in paths if path and (name := path.partition(".")[0]) in there))
