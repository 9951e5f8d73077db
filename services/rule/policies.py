"""How a rule goes on after failures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How an execution goes on after a failure. 0 and None stand for the default.

    Attributes:
        max_attempts: How often in all, counting only answers that say no; 3.
        initial_backoff: Seconds; 1.
        max_backoff: Seconds; 30.
        multiplier: 2.
        give_up_after: Seconds from the first attempt; 24 h.
    """

    max_attempts: int = 0
    initial_backoff: float | None = None
    max_backoff: float | None = None
    multiplier: float = 0.0
    give_up_after: float | None = None

    @property
    def attempts(self) -> int:
        """How many attempts there are in all."""
        return self.max_attempts or 3

    @property
    def give_up_seconds(self) -> float:
        """How long to go on after the first attempt."""
        return 86_400.0 if self.give_up_after is None else self.give_up_after

    def pause(self, tries: int) -> float:
        """Returns how many seconds to wait after this many tries in a row, without jitter."""
        first = 1.0 if self.initial_backoff is None else self.initial_backoff
        longest = max(30.0, first) if self.max_backoff is None else self.max_backoff
        return float(min(longest, first * (self.multiplier or 2.0) ** min(tries - 1, 60)))


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a rule pauses for a subject. 0 and None stand for the default.

    Attributes:
        max_failures: More than these open it; 5.
        window: Seconds over which failures count; 300.
        open_duration: Seconds that it stays open; 60.
        disabled: Never opens.
    """

    max_failures: int = 0
    window: float | None = None
    open_duration: float | None = None
    disabled: bool = False

    @property
    def failures(self) -> int:
        """How many failures are borne."""
        return self.max_failures or 5

    @property
    def window_seconds(self) -> float:
        """Over how many seconds failures count."""
        return 300.0 if self.window is None else self.window

    @property
    def open_seconds(self) -> float:
        """How many seconds the breaker stays open."""
        return 60.0 if self.open_duration is None else self.open_duration
