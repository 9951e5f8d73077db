"""Breakers: pause one rule for one subject after too many failures. They defer executions and drop none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from enum import IntEnum

from sutler.etags import make_etag

from services.rule.failures import Failure
from services.rule.policies import BreakerPolicy


class BreakerState(IntEnum):
    """The life of a breaker, by the numbers of the contract."""

    CLOSED = 1
    OPEN = 2
    HALF_OPEN = 3


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker; there is none for a pair of rule and subject without failures. Times are epoch seconds.

    Attributes:
        name: ``breakers/{breaker}``.
        tenant: Whose it is.
        rule: The name of the rule.
        rule_uid: Tells the rule from another of the same name.
        subject: The id of the subject; empty for events without one.
        create_time: When it first counted a failure.
        update_time: When it last changed.
        state: Where it stands.
        failures: When attempts failed, within the window.
        open_time: When it last opened.
        probe_time: When an execution is tried, while it is open; when another one is, while one is tried.
        probe: The name of the execution that is tried.
        error: The latest failure.
    """

    name: str
    tenant: str
    rule: str
    rule_uid: str
    subject: str
    create_time: float
    update_time: float
    state: BreakerState = BreakerState.CLOSED
    failures: tuple[float, ...] = ()
    open_time: float | None = None
    probe_time: float | None = None
    probe: str = ""
    error: Failure | None = None

    @property
    def etag(self) -> str:
        """Changes with every change."""
        return make_etag(self.name, int(self.state), self.update_time, len(self.failures))


def breaker_name(tenant: str, rule_uid: str, subject: str) -> str:
    """Returns the name of the breaker of a rule and a subject."""
    digest = hashlib.sha256(f"{tenant}\0{rule_uid}\0{subject}".encode()).hexdigest()
    return f"breakers/{digest[:32]}"


def after_failure(breaker: Breaker, policy: BreakerPolicy, failure: Failure, now: float) -> Breaker:
    """Returns a breaker after an attempt was used up: open if that was one too many, or the probe."""
    failures = (*(at for at in breaker.failures if at > now - policy.window_seconds), now)
    counted = replace(breaker, failures=failures[-(policy.failures + 1) :], error=failure, update_time=now, probe="")
    probing = breaker.state is not BreakerState.CLOSED
    if policy.disabled or not (probing or len(failures) > policy.failures):
        return replace(counted, state=BreakerState.CLOSED, probe_time=None)
    return replace(counted, state=BreakerState.OPEN, open_time=now, probe_time=now + policy.open_seconds)


def closed(breaker: Breaker, now: float) -> Breaker:
    """Returns a breaker that has forgotten its failures."""
    return replace(breaker, state=BreakerState.CLOSED, failures=(), probe_time=None, probe="", update_time=now)


def deferred_until(breaker: Breaker | None, policy: BreakerPolicy, execution: str, now: float) -> float | None:
    """Returns until when an execution must wait for a breaker; None if it may begin, maybe as the probe."""
    if breaker is None or policy.disabled or breaker.state is BreakerState.CLOSED or breaker.probe == execution:
        return None
    if breaker.probe_time is not None and breaker.probe_time > now:
        return breaker.probe_time
    return None


def needs_probe(breaker: Breaker | None, policy: BreakerPolicy) -> bool:
    """Returns whether an execution that may begin must first be noted as the probe."""
    return breaker is not None and not policy.disabled and breaker.state is not BreakerState.CLOSED


def probing(breaker: Breaker, policy: BreakerPolicy, execution: str, now: float) -> Breaker:
    """Returns a breaker while an execution is tried; if nothing is heard of it, another one is after a while."""
    return replace(
        breaker,
        state=BreakerState.HALF_OPEN,
        probe=execution,
        probe_time=now + policy.open_seconds,
        update_time=now,
    )
