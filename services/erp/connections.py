"""Connections: ways to one database of one ERP system, and how it is to be treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from sutler.etags import make_etag

COLLECTION = "connections/"


class State(StrEnum):
    """How well the ERP answers; the names are those of the contract."""

    STARTING = "STARTING"
    HEALTHY = "HEALTHY"
    DEGRADED = "DEGRADED"
    UNHEALTHY = "UNHEALTHY"
    STOPPED = "STOPPED"


class Effect(StrEnum):
    """What a called method changes."""

    UNSPECIFIED = "UNSPECIFIED"
    CHANGES = "CHANGES"
    IDEMPOTENT = "IDEMPOTENT"
    READ_ONLY = "READ_ONLY"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErpContext:
    """What goes with a call to the ERP. ``extra`` has further keys of the ERP's own context."""

    language: str = ""
    time_zone: str = ""
    company_ids: tuple[int, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMapping:
    """Says as which user of the ERP a caller works. ``secret_update_time`` is None without a secret."""

    caller: str
    username: str = ""
    secret_update_time: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """The most calls in a span of time, in seconds."""

    calls: int
    interval: float | None = None
    burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How calls that are safe to repeat are repeated; pauses in seconds."""

    max_attempts: int = 0
    initial_backoff: float | None = None
    max_backoff: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When calls are refused because too many failed; times in seconds."""

    failure_limit: int = 0
    interval: float | None = None
    open_duration: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPolicy:
    """How the change feed reads; times in seconds."""

    poll_interval: float | None = None
    window_lag: float | None = None
    reconcile_interval: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CachePolicy:
    """How long what was read from models is kept, in seconds."""

    model: str
    record_ttl: float | None = None
    search_ttl: float | None = None
    stale_ttl: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRule:
    """Allows methods of models to be called."""

    model: str
    method: str
    effect: Effect = Effect.UNSPECIFIED
    changed_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSpec:
    """What the caller decides about a connection. The attributes are those of the contract; times in seconds."""

    display_name: str = ""
    driver: str = ""
    url: str = ""
    database: str = ""
    username: str = ""
    secret_update_time: float | None = None
    user_mappings: tuple[UserMapping, ...] = ()
    require_user_mapping: bool = False
    default_context: ErpContext | None = None
    ca_certificates: str = ""
    skip_certificate_check: bool = False
    max_concurrency: int = 0
    min_idle_connections: int | None = None
    max_queue_wait: float | None = None
    rate_limit: RateLimit | None = None
    timeout: float | None = None
    coalesce_window: float | None = None
    max_login_rate: int = 0
    retry_policy: RetryPolicy | None = None
    breaker_policy: BreakerPolicy | None = None
    feed_policy: FeedPolicy | None = None
    cache_policies: tuple[CachePolicy, ...] = ()
    method_rules: tuple[MethodRule, ...] = ()
    driver_options: Mapping[str, Any] = field(default_factory=dict)
    disabled: bool = False

    @property
    def timeout_seconds(self) -> float:
        """How long one call may take."""
        return 30.0 if self.timeout is None else self.timeout

    @property
    def queue_wait_seconds(self) -> float:
        """How long a call waits for its turn."""
        return 30.0 if self.max_queue_wait is None else self.max_queue_wait

    @property
    def attempts(self) -> int:
        """How often a call that is safe to repeat is made in all."""
        return (self.retry_policy.max_attempts if self.retry_policy else 0) or 3

    @property
    def concurrency(self) -> int:
        """The most calls at the same time."""
        return self.max_concurrency or 8

    @property
    def idle_connections(self) -> int:
        """The least network connections that are kept open while idle."""
        return 1 if self.min_idle_connections is None else self.min_idle_connections

    def context(self, given: ErpContext | None) -> ErpContext:
        """Returns the context of a call: the caller's own, else the default one."""
        return given or self.default_context or ErpContext()

    def ttl(self, model: str, *, search: bool) -> float:
        """Returns how many seconds a record of a model, or the answer to a search, is kept."""
        policy = self._cache_policy(model)
        ttl = None if policy is None else policy.search_ttl if search else policy.record_ttl
        return (60.0 if search else 300.0) if ttl is None else ttl

    def stale_ttl(self, model: str) -> float:
        """Returns for how many seconds more an answer may be given while the ERP is down."""
        policy = self._cache_policy(model)
        return 86_400.0 if policy is None or policy.stale_ttl is None else policy.stale_ttl

    def _cache_policy(self, model: str) -> CachePolicy | None:
        return next((policy for policy in self.cache_policies if fnmatchcase(model, policy.model)), None)

    def method_rule(self, model: str, method: str) -> MethodRule | None:
        """Returns the first rule that allows a method; None if none does or it is private."""
        if method.startswith("_"):
            return None
        return next(
            (r for r in self.method_rules if fnmatchcase(model, r.model) and fnmatchcase(method, r.method)), None
        )


@dataclass(frozen=True, slots=True)
class Condition:
    """How well the ERP of a connection answers.

    Attributes:
        state: In a word.
        reason: Why, for people; empty when healthy.
        since: When the state last changed, in epoch seconds.
        server_version: As the ERP names itself; empty until the first login.
        clock_skew: How many seconds its clock is ahead; None if unknown.
    """

    state: State = State.STARTING
    reason: str = ""
    since: float = 0.0
    server_version: str = ""
    clock_skew: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One connection as stored.

    Attributes:
        tenant: Whose it is.
        id: The last part of its name.
        uid: Tells it from an earlier one of the same name.
        spec: What the caller decided.
        secrets: The encrypted secrets, by :func:`secret_slot`.
        revision: Counts the changes of the settings.
        epoch: Changes when it begins to lead to other data, so that nothing read before counts any more.
        create_time: Epoch seconds.
        update_time: Epoch seconds.
        creator: The subject of the principal that last wrote it.
        condition: How well the ERP answers.
    """

    tenant: str
    id: str
    uid: str
    spec: ConnectionSpec
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    revision: int = 1
    epoch: int = 1
    create_time: float = 0.0
    update_time: float = 0.0
    creator: str = ""
    condition: Condition = field(default_factory=Condition)

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{COLLECTION}{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change of the settings."""
        return make_etag(self.uid, self.revision)


def secret_slot(mapping: UserMapping | None = None) -> str:
    """Returns under which key a secret is stored: that of the connection's own user, or of a mapping's."""
    return "" if mapping is None else f"{mapping.caller}\n{mapping.username}"
