"""The time of changes goes on, whatever the system's clock does."""

from __future__ import annotations

from sutler.store.clock import Clock


class System:
    """The clocks of a machine."""

    def __init__(self) -> None:
        self.time, self.ticks = 1_000_000.0, 50.0

    def clock(self) -> Clock:
        return Clock(lambda: self.time, lambda: self.ticks)

    def pass_time(self, seconds: float) -> None:
        self.time += seconds
        self.ticks += seconds


def test_it_follows_the_system() -> None:
    system = System()
    clock = system.clock()
    assert clock.now() == 1_000_000.0
    system.pass_time(5)
    assert clock.now() == 1_000_005.0
    system.time += 3600
    assert clock.now() == 1_003_605.0


def test_a_system_that_jumps_back_neither_turns_it_back_nor_stops_it() -> None:
    system = System()
    clock = system.clock()
    system.time += 3600
    assert clock.now() == 1_003_600.0
    system.time -= 3600
    assert clock.now() == 1_003_600.0
    system.pass_time(30)
    assert clock.now() == 1_003_630.0
    system.time -= 10
    system.pass_time(10)
    assert clock.now() == 1_003_640.0


def test_it_follows_the_system_again_when_that_is_ahead() -> None:
    system = System()
    clock = system.clock()
    clock.now()
    system.time -= 100
    system.pass_time(1)
    assert clock.now() == 1_000_001.0
    system.time += 200
    assert clock.now() == 1_000_101.0
