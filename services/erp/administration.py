"""Creating, changing, deleting and checking connections."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from sutler.auth import authorize
from sutler.context import Principal
from sutler.errors import AlreadyExists, SutlerError, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id

from services.erp.caching import Answers
from services.erp.connections import Condition, Connection, ConnectionSpec, State
from services.erp.drivers import DriverRegistry
from services.erp.links import Links
from services.erp.permitting import check_spec, leads_elsewhere, logs_in_anew, trusts_another, with_secrets
from services.erp.ports import ConnectionStore, Query, SecretBox
from services.erp.schemas import ErpUser, ModelRights

CREATE = "erp.connections.create"

Edit = Callable[[Connection | None], tuple[ConnectionSpec, Mapping[str, str]]]
"""Makes the wanted settings of what is stored (None: nothing), and newly given secrets by slot."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator allows.

    Attributes:
        urls: Addresses of ERPs; each may have ``*``.
        skip_certificate_check: Whether certificates may go unchecked.
    """

    urls: Sequence[str]
    skip_certificate_check: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What a check found. Times in seconds."""

    connection: Connection
    server_version: str
    latency: float
    login_latency: float
    clock_skew: float
    user: ErpUser
    rights: tuple[ModelRights, ...]
    databases: tuple[str, ...]


class Administration:
    """Keeps connections.

    Args:
        store: Where they are stored.
        links: Those that are open.
        box: Encrypts secrets.
        drivers: The drivers of this deployment.
        rules: What the operator allows.
        answers: The cache, which drops what no longer counts.
    """

    def __init__(
        self,
        store: ConnectionStore,
        links: Links,
        box: SecretBox,
        drivers: DriverRegistry,
        rules: Rules,
        answers: Answers,
    ) -> None:
        self._store = store
        self._links = links
        self._box = box
        self._rules = rules
        self._answers = answers
        self.drivers = drivers

    async def get(self, tenant: str, connection_id: str) -> Connection:
        """Returns a connection. Raises NotFound if there is none of that name."""
        return await self._store.get(tenant, connection_id)

    async def page(self, tenant: str, query: Query) -> list[Connection]:
        """Returns a page of connections."""
        return await self._store.page(tenant, query)

    async def create(
        self, tenant: str, connection_id: str, creator: str, edit: Edit, once: Once | None, *, validate_only: bool
    ) -> Connection:
        """Creates a connection, in state STARTING.

        Raises:
            AlreadyExists: If the name is taken.
            PermissionDenied: If the address is not allowed (ADDRESS_NOT_ALLOWED).
            Invalid: If the settings do not fit.
        """

        def make(stored: Connection | None, now: float) -> Connection:
            if stored is not None:
                raise AlreadyExists(f"{stored.name} exists", resource=stored.name)
            return self._new(tenant, connection_id, creator, edit, now)

        return await self._save(tenant, connection_id, make, once, validate_only=validate_only)

    async def update(
        self,
        tenant: str,
        connection_id: str,
        principal: Principal,
        edit: Edit,
        once: Once | None,
        *,
        etag: str,
        allow_missing: bool,
        validate_only: bool,
    ) -> Connection:
        """Changes a connection, or creates it with ``allow_missing``.

        Raises:
            NotFound: If there is none.
            PermissionDenied: If there is none, and the principal may not create it.
            Conflict: If it has another etag, or would lead elsewhere while a write is under way.
            SutlerError: As :meth:`create`, and what ``edit`` raises.
        """

        def change(stored: Connection | None, now: float) -> Connection:
            if stored is None:
                if not allow_missing:
                    raise not_found(f"connections/{connection_id}")
                authorize(principal, CREATE, [f"{connection_id}/"])
                return self._new(tenant, connection_id, principal.actor, edit, now)
            check_etag(etag, stored.etag, stored.name)
            return self._changed(stored, principal.actor, edit, now)

        before = await self._before(tenant, connection_id)
        saved = await self._save(tenant, connection_id, change, once, validate_only=validate_only)
        if before is not None and not validate_only and before.epoch != saved.epoch:
            await self._answers.forget(tenant, saved.uid)
        return saved

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        once: Once | None,
        *,
        etag: str,
        allow_missing: bool,
        force: bool,
        validate_only: bool,
    ) -> None:
        """Deletes a connection, its secrets and what was read through it.

        Raises:
            NotFound: If there is none, unless ``allow_missing``.
            Conflict: If it has another etag, or a write is under way.
            FailedPrecondition: If it has subscriptions and ``force`` is not set (HAS_CHILDREN).
        """

        def check(stored: Connection | None) -> bool:
            if stored is None:
                if not allow_missing:
                    raise not_found(f"connections/{connection_id}")
                return False
            check_etag(etag, stored.etag, stored.name)
            return not validate_only

        uid = await self._store.delete(tenant, connection_id, check, once, force=force)
        if uid is not None:
            self._links.forget(uid)
            await self._answers.forget(tenant, uid)

    async def check(self, tenant: str, connection_id: str, principal: Principal, models: Sequence[str]) -> Checked:
        """Logs in anew and reports what it found; a good check closes an open breaker.

        Raises:
            NotFound: If there is no such connection.
            SutlerError: What is wrong with the ERP or the login.
        """
        stored = await self._store.get(tenant, connection_id)
        link = self._links.of(stored)
        link.observer.follow(stored.condition)
        ask, driver = link.ask(principal), link.driver
        try:
            version = await driver.version()
            began = time.monotonic()
            await driver.log_in(ask, anew=True)
            login_latency = time.monotonic() - began
        except SutlerError as error:
            if error.reason != "LOGIN_LIMITED":
                link.observer.refused(error)
            raise
        link.gate.reset()
        link.observer.logged_in(version, driver.clock_skew)
        began = time.monotonic()
        user = await driver.user(ask)
        latency = time.monotonic() - began
        rights = [(await link.catalogue.rights(ask, model, max_staleness=0)).value for model in models]
        databases = await driver.databases()
        return Checked(
            connection=replace(link.connection, condition=link.observer.condition),
            server_version=version,
            latency=latency,
            login_latency=login_latency,
            clock_skew=driver.clock_skew or 0.0,
            user=user,
            rights=tuple(rights),
            databases=tuple(databases),
        )

    async def _before(self, tenant: str, connection_id: str) -> Connection | None:
        try:
            return await self._store.get(tenant, connection_id)
        except SutlerError as error:
            if error.reason != "NOT_FOUND":
                raise
            return None

    async def _save(
        self,
        tenant: str,
        connection_id: str,
        edit: Callable[[Connection | None, float], Connection],
        once: Once | None,
        *,
        validate_only: bool,
    ) -> Connection:
        if validate_only:
            return edit(await self._before(tenant, connection_id), time.time())
        return await self._store.save(tenant, connection_id, edit, once)

    def _new(self, tenant: str, connection_id: str, creator: str, edit: Edit, now: float) -> Connection:
        spec, secrets = edit(None)
        self._check(spec)
        uid = new_id()
        made = Connection(
            tenant=tenant,
            id=connection_id,
            uid=uid,
            spec=spec,
            create_time=now,
            update_time=now,
            creator=creator,
            condition=Condition(State.STOPPED if spec.disabled else State.STARTING, since=now),
        )
        return with_secrets(made, self._sealed(uid, secrets), now, keep={})

    def _changed(self, stored: Connection, creator: str, edit: Edit, now: float) -> Connection:
        spec, secrets = edit(stored)
        self._check(spec)
        moved = leads_elsewhere(stored.spec, spec)
        changed = with_secrets(
            replace(
                stored,
                spec=spec,
                revision=stored.revision + 1,
                epoch=stored.epoch + moved,
                update_time=now,
                creator=creator,
            ),
            self._sealed(stored.uid, secrets),
            now,
            keep={} if trusts_another(stored.spec, spec) else stored.secrets,
        )
        return replace(changed, condition=_condition(stored, changed, now))

    def _check(self, spec: ConnectionSpec) -> None:
        check_spec(spec, list(self.drivers.infos), self._rules.urls, insecure=self._rules.skip_certificate_check)
        self.drivers.check_options(spec)

    def _sealed(self, uid: str, secrets: Mapping[str, str]) -> dict[str, bytes]:
        return {slot: self._box.seal(secret, owner=uid) for slot, secret in secrets.items() if secret}


def _condition(before: Connection, after: Connection, now: float) -> Condition:
    """Returns the condition after a change of the settings: it begins anew where the login does."""
    if after.spec.disabled:
        return replace(before.condition, state=State.STOPPED, reason="switched off", since=now)
    if before.spec.disabled or logs_in_anew(before, after):
        return Condition(State.STARTING, since=now)
    return before.condition
