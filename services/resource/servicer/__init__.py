"""The contract's RPCs: requests to calls of the domain, and what it returns to answers."""

from __future__ import annotations

from sutler.operations.servicer import OperationBook
from sutler.paging import Pager

from services.resource.adapters.following import Follower
from services.resource.adapters.reading import Reader
from services.resource.adapters.stack_reading import StackReader
from services.resource.declaring import Declarations
from services.resource.ending import Endings
from services.resource.invoking import Invocations
from services.resource.registering import Registrations
from services.resource.removing import Removals
from services.resource.servicer.history import HistoryServicer
from services.resource.servicer.operations import ResourceOperationsServicer
from services.resource.servicer.resources import ResourcesServicer
from services.resource.servicer.stacks import StacksServicer
from services.resource.servicer.types import TypesServicer
from services.resource.stacks.applying import Stacks


class ResourceServicer(TypesServicer, ResourcesServicer, StacksServicer, HistoryServicer, ResourceOperationsServicer):
    """``sutler.resource.v1.ResourceService``.

    Args:
        registrations: Registers types.
        declarations: Creates and updates resources.
        removals: Deletes resources.
        invocations: Has actions carried out.
        stacks: Applies and deletes stacks.
        endings: Ends operations.
        reader: Reads.
        stack_reader: Reads stacks.
        follower: Follows changes.
        book: Where operations are.
        pager: Makes page tokens.
    """

    def __init__(
        self,
        *,
        registrations: Registrations,
        declarations: Declarations,
        removals: Removals,
        invocations: Invocations,
        stacks: Stacks,
        endings: Endings,
        reader: Reader,
        stack_reader: StackReader,
        follower: Follower,
        book: OperationBook,
        pager: Pager,
    ) -> None:
        TypesServicer.__init__(self, registrations, reader, pager)
        ResourcesServicer.__init__(self, declarations, removals, invocations, reader, pager)
        StacksServicer.__init__(self, stacks, stack_reader, pager)
        HistoryServicer.__init__(self, follower, reader, pager)
        ResourceOperationsServicer.__init__(self, book, endings)
