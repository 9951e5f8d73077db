"""How a feed looks at the ERP: as whom, at which records, in which fields."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace

from sutler.auth import decode_principal
from sutler.context import ANONYMOUS, Principal
from sutler.errors import PermissionDenied

from services.erp.connections import FeedPolicy
from services.erp.feed.comparing import compare
from services.erp.feed.model import Cursor, Detection, Feed, FeedSpec, Observation, Phase
from services.erp.links import Link
from services.erp.reach import WATCH
from services.erp.reading import Reading
from services.erp.records import DISPLAY_NAME, Row, key_of
from services.erp.selecting import Selector
from services.erp.wanting import View, Wanted

PAGE = 200
WINDOW_LAG_SECONDS = 30.0
RECONCILE_SECONDS = 300.0
UNKNOWN_CLOCK_SECONDS = 900.0
"""How far behind the clock of an ERP may be that never answered: what it changed since then counts as later."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How a connection's feeds read, in seconds.

    Attributes:
        poll: The pause between two polls.
        lag: How long after its end a window is read once more.
        reconcile: How often ids are compared; 0 for never.
    """

    poll: float
    lag: float
    reconcile: float


def timing(policy: FeedPolicy | None, default_poll: float) -> Timing:
    """Returns how the feeds of a connection read."""
    given = policy or FeedPolicy()
    return Timing(
        default_poll if given.poll_interval is None else given.poll_interval,
        WINDOW_LAG_SECONDS if given.window_lag is None else given.window_lag,
        RECONCILE_SECONDS if given.reconcile_interval is None else given.reconcile_interval,
    )


@dataclass(frozen=True, slots=True)
class Look:
    """One feed's way to its records.

    Attributes:
        link: The connection.
        view: As whom, and in which fields.
        selector: Which records.
    """

    link: Link
    view: View
    selector: Selector

    async def rows(self, selector: Selector, *, fields: bool = True, limit: int = 0) -> list[Row]:
        """Returns records by id, at most ``limit`` or a page, with the watched fields or with nothing but ids."""
        names = list(dict.fromkeys([*self.view.columns, DISPLAY_NAME])) if fields else ["id"]
        return list(
            await self.link.driver.search(self.view.ask, self.view.schema, selector, fields=names, limit=limit or PAGE)
        )

    @property
    def viewer(self) -> tuple[str, str]:
        """As which user of the ERP, and in which context, as hashes."""
        return self.view.ask.identity, key_of(asdict(self.view.ask.context))

    def erp_time(self) -> float:
        """Returns the time by the ERP's clock, as far as that is known, in epoch seconds."""
        return time.time() + (self.link.clock_skew or 0.0)


async def look(link: Link, reading: Reading, feed: Feed, principal: Principal) -> Look:
    """Returns how a feed looks at the ERP, on behalf of a principal.

    Raises:
        PermissionDenied: If the principal may not watch a model that fields, filter or domain lead to.
        SutlerError: Why it cannot.
    """
    spec = feed.spec
    wanted = Wanted(model=spec.model, fields=(*spec.watched, *spec.extra), permission=WATCH)
    view = await reading.view(link, principal, wanted)
    return Look(link, view, await view.select(filter=spec.filter, domain=spec.domain, archived=True))


def principal_of(encoded: str) -> Principal:
    """Returns the principal on whose behalf something is done."""
    return decode_principal(encoded) if encoded else ANONYMOUS


def identity(link: Link, principal: Principal) -> str:
    """Returns as which user of the ERP a principal works now; empty for none."""
    try:
        return link.ask(principal).identity
    except PermissionDenied:
        return ""


async def begin(view: Look, feed: Feed, timing: Timing, latest_touch: int) -> tuple[Feed, list[Observation]]:
    """Returns a feed that begins now, and what it knows from the start.

    Everything that changed within the last window is read at once: what changes later differs from it, also within the
    same second, and also by a transaction that began before and ends after. Older records follow as a silent baseline.

    Raises:
        SutlerError: Why the ERP cannot be read; then see :func:`begin_unseen`.
    """
    since = math.floor(view.erp_time() - timing.lag)
    begun = replace(feed, cursor=as_seen(beginning(since, latest_touch), view))
    known: list[Observation] = []
    selector = replace(view.selector, since=since)
    while True:
        rows = await view.rows(selector)
        compared = [compare(begun, row, None, Detection.POLL, 0.0) for row in rows]
        known += [one.observation for one in compared if one.observation is not None]
        if len(rows) < PAGE:
            return begun, known
        selector = replace(selector, after_id=rows[-1].id)


def begin_unseen(feed: Feed, latest_touch: int, clock_skew: float | None) -> Feed:
    """Returns a feed that begins now with an ERP that does not answer: what changes from now on counts."""
    ahead = -UNKNOWN_CLOCK_SECONDS if clock_skew is None else clock_skew
    return replace(feed, cursor=beginning(time.time() + ahead, latest_touch))


def beginning(now: float, latest_touch: int) -> Cursor:
    """Returns the cursor of a feed that begins at a time by the ERP's clock, which tells whole seconds only."""
    since = float(math.floor(now))
    return Cursor(baseline_time=since, high=since, closed=since, touch=latest_touch)


def as_seen(cursor: Cursor, view: Look) -> Cursor:
    """Returns a cursor that remembers as whom the ERP is read."""
    identity, context = view.viewer
    return replace(cursor, identity=identity, context=context)


def again(cursor: Cursor) -> Cursor:
    """Returns the cursor of a feed that looks otherwise now: a new silent baseline at the old position."""
    return replace(
        cursor,
        phase=Phase.BASELINE,
        baseline_time=float(math.floor(cursor.high)),
        baseline_last=0,
        generation=cursor.generation + 1,
        replay=False,
    )


def with_other_eyes(cursor: Cursor, view: Look) -> Cursor:
    """Returns the cursor of a feed that another user reads now, or in another context: what they see is a baseline."""
    return replace(as_seen(again(cursor), view), replay=cursor.replay, viewer_changed=True)


def begun_elsewhere(feed: Feed, now: float, latest_touch: int) -> Feed:
    """Returns a feed whose connection leads to other data from now on: what exists there is its baseline."""
    before = feed.cursor
    cursor = replace(beginning(now, latest_touch), identity=before.identity, context=before.context)
    return replace(feed, epoch=feed.epoch + 1, cursor=cursor, error=b"", record_count=0)


def watched_fields(spec_fields: tuple[str, ...], more: tuple[str, ...], archive_field: str) -> FeedSpec:
    """Returns a feed's fields: plain ones are watched, dotted ones are read along; archiving always counts."""
    plain = [name for name in spec_fields if "." not in name]
    watched = dict.fromkeys([DISPLAY_NAME, *plain, *more, *([archive_field] if archive_field else [])])
    extra = dict.fromkeys(name for name in spec_fields if "." in name)
    return FeedSpec(model="", watched=tuple(watched), extra=tuple(extra))
