"""Links: open connections of this process, each with its driver, its logins and its memory of models."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import lru_cache

from sutler.context import Principal
from sutler.errors import SutlerError

from services.erp import faults
from services.erp.catalogue import Catalogue
from services.erp.coalescing import Coalescer
from services.erp.conditions import Observer
from services.erp.connections import Condition, Connection, ErpContext
from services.erp.doubting import doubted
from services.erp.figures import Figures, Observe
from services.erp.gate import LARGE_AT_ONCE, Gate
from services.erp.locks import RecordLocks
from services.erp.ports import ConnectionStore, Driver, MakeDriver, SecretBox
from services.erp.records import key_of
from services.erp.schemas import ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.users import Ask, Login, choose_login


@dataclass(slots=True, weakref_slot=True, eq=False)
class Link:
    """One connection in use, with the settings of one revision.

    Attributes:
        connection: Its settings.
        driver: Speaks to the ERP.
        gate: Where its calls take their turn.
        observer: Follows how well it goes.
        catalogue: Remembers models.
        reads: Joins reads that come together.
        locks: One writer for each record; the same for all revisions.
        figures: What is counted of it; the same for all revisions.
    """

    connection: Connection
    driver: Driver
    gate: Gate
    observer: Observer
    catalogue: Catalogue
    reads: Coalescer
    locks: RecordLocks
    _box: SecretBox
    _opened: dict[str, str] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)

    @property
    def name(self) -> str:
        """The name of the connection."""
        return self.connection.name

    def ask(self, principal: Principal, context: ErpContext | None = None) -> Ask:
        """Returns as whom a caller works, in a context or the connection's default one.

        Raises:
            PermissionDenied: If no user mapping names the caller (USER_MAPPING_MISSING).
            FailedPrecondition: If the connection is switched off, or the secret cannot be read (SECRET_UNREADABLE).
        """
        if self.connection.spec.disabled:
            raise faults.connection_disabled(self.name)
        return self._ask(choose_login(self.connection, principal.actor), context)

    def own_ask(self) -> Ask:
        """Returns the connection's own user, for checks. Raises as :meth:`ask`, but for mappings."""
        if self.connection.spec.disabled:
            raise faults.connection_disabled(self.name)
        return self._ask(Login(self.connection.spec.username), None)

    def schemas(self, ask: Ask) -> SchemaSource:
        """Returns what gives the schemas of models to this user."""

        async def source(model: str) -> ModelSchema:
            return await self.catalogue.schema(ask, model)

        return source

    def hold(self, model: str, ids: Iterable[int]) -> AbstractAsyncContextManager[None]:
        """Holds the locks of records for a write, and waits for them at most as long as a call does for its turn.

        Raises as :meth:`services.erp.locks.RecordLocks.hold`.
        """
        return self.locks.hold(model, ids, max_wait=self.connection.spec.queue_wait_seconds)

    async def check(self, ask: Ask, *, anew: bool = False) -> None:
        """Logs in, unless that is remembered, and learns the ERP's version and clock.

        Args:
            ask: As whom.
            anew: Asks the ERP even if all that is remembered.

        Raises:
            SutlerError: Why it cannot be used.
        """
        try:
            known = "" if anew else self.driver.server_version
            version = known or await self.driver.version()
            await self.driver.log_in(ask, anew=anew)
        except SutlerError as error:
            self.observer.refused(error)
            raise
        self.observer.logged_in(version, self.driver.clock_skew)

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the ERP's clock is ahead, as it told this process, else another; None if it never told."""
        skew = self.driver.clock_skew
        return self.observer.condition.clock_skew if skew is None else skew

    def _ask(self, login: Login, context: ErpContext | None) -> Ask:
        wanted = self.connection.spec.context(context)
        self.driver.info.check_context(wanted, "context" if context else "connection.default_context")
        return Ask(login.username, self._secret(login.slot), wanted, _identity(login))

    def _secret(self, slot: str) -> str:
        if slot not in self._opened:
            sealed = self.connection.secrets.get(slot)
            try:
                self._opened[slot] = self._box.open(sealed, owner=self.connection.uid) if sealed else ""
            except ValueError as error:
                raise faults.secret_unreadable(self.name) from error
        return self._opened[slot]


class Links:
    """Opens connections when they are first used, and anew when their settings have changed.

    Args:
        store: Where connections are stored.
        make: Makes the driver of a connection.
        box: Opens secrets.
        observe: Told of each call to an ERP.
    """

    def __init__(
        self, store: ConnectionStore, make: MakeDriver, box: SecretBox, observe: Observe | None = None
    ) -> None:
        self._store = store
        self._make_driver = make
        self._box = box
        self._observe = observe
        self._room = asyncio.Semaphore(LARGE_AT_ONCE)
        self._figures: dict[str, Figures] = {}
        self._open: dict[str, Link] = {}
        self._retired: dict[weakref.finalize[..., Link], Driver] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._conditions: dict[str, tuple[Connection, Condition]] = {}
        self._told = asyncio.Event()

    async def find(self, tenant: str, connection_id: str) -> Link:
        """Returns the link of a connection.

        Raises:
            NotFound: If the tenant has no such connection.
            Unavailable: If the store does not answer.
        """
        return self.of(await self._store.current(tenant, connection_id))

    def of(self, connection: Connection) -> Link:
        """Returns the link of a connection as it was just read."""
        known = self._open.get(connection.uid)
        if known is not None and known.connection.revision == connection.revision:
            known.observer.told(connection.condition)
            return known
        link = self._make(connection, known.locks if known else RecordLocks())
        self._open[connection.uid] = link
        if known is not None:
            self._retire(known)
        return link

    def figures(self, uid: str) -> Figures:
        """Returns what this process has counted of a connection since it started, whatever its settings were."""
        return self._figures.setdefault(uid, Figures(observe=self._observe))

    @property
    def all_figures(self) -> Mapping[str, Figures]:
        """The figures of all connections that were used, by their uids."""
        return self._figures

    def forget(self, uid: str) -> None:
        """Closes the link of a connection that was deleted."""
        self._figures.pop(uid, None)
        known = self._open.pop(uid, None)
        if known is not None:
            self._retire(known)

    async def keep_conditions(self) -> None:
        """Stores each new condition, until cancelled. A state that cannot be stored is stored a little later."""
        while True:
            await self._told.wait()
            self._told.clear()
            waiting, self._conditions = self._conditions, {}
            for connection, condition in waiting.values():
                try:
                    await self._store.keep_condition(connection, condition)
                except SutlerError:
                    self._conditions.setdefault(connection.uid, (connection, condition))
                    self._told.set()
                    await asyncio.sleep(1)

    async def close(self) -> None:
        """Closes all links."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        for unused in self._retired:
            unused.detach()
        for driver in [*self._retired.values(), *(link.driver for link in self._open.values())]:
            await driver.close()

    def _make(self, connection: Connection, locks: RecordLocks) -> Link:
        observer = Observer(connection, self._tell, connection.condition)
        figures = self.figures(connection.uid)
        own = _identity(Login(connection.spec.username))

        def login_ended(ask: Ask, error: SutlerError | None) -> None:
            if ask.identity == own:
                observer.login_ended(error)

        gate = Gate(connection.name, connection.spec, observer.call_ended, figures, login_ended, self._room)
        made = self._make_driver(connection, gate)
        catalogue = Catalogue(made, connection.spec)
        driver = doubted(made, catalogue)
        window = connection.spec.coalesce_window
        return Link(
            connection,
            driver,
            gate,
            observer,
            catalogue,
            Coalescer(driver, 0.003 if window is None else window, figures),
            locks,
            self._box,
            figures=figures,
        )

    def _tell(self, connection: Connection, condition: Condition) -> None:
        self._conditions[connection.uid] = (connection, condition)
        self._told.set()

    def _retire(self, link: Link) -> None:
        """Closes a link when nobody has it any more: what is under way ends with the old settings."""
        link.gate.retired = True
        loop = asyncio.get_running_loop()

        def close() -> None:
            driver = self._retired.pop(unused)
            task = loop.create_task(_close_when_idle(driver, gate))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        gate = link.gate
        # The garbage collector may find it in any thread.
        unused = weakref.finalize(link, loop.call_soon_threadsafe, close)
        unused.atexit = False
        self._retired[unused] = link.driver


@lru_cache(maxsize=4096)
def _identity(login: Login) -> str:
    return key_of([login.username, login.slot])


async def _close_when_idle(driver: Driver, gate: Gate) -> None:
    """Lets calls end that nobody waits for any more."""
    try:
        await gate.idle()
    finally:
        await driver.close()
