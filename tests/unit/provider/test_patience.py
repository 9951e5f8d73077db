"""What has failed is tried again soon at first, then less and less often."""

from services.provider.patience import FIRST_SECONDS, FORGET_SECONDS, LONGEST_SECONDS, Patience


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pauses_grow_up_to_a_bound_and_begin_anew() -> None:
    clock = Clock()
    patience = Patience(clock)
    pauses = [patience.failed("a") for _ in range(8)]
    assert pauses[:3] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS]
    assert pauses[-1] == LONGEST_SECONDS
    assert patience.waits("a")
    assert not patience.waits("b")
    assert patience.waiting() == {"a"}
    clock.now += LONGEST_SECONDS
    assert not patience.waits("a")
    assert patience.waiting() == frozenset()
    patience.done("a")
    assert patience.failed("a") == FIRST_SECONDS


def test_what_is_not_tried_again_is_forgotten() -> None:
    clock = Clock()
    patience = Patience(clock)
    patience.failed("gone")
    patience.failed("gone")
    clock.now += FORGET_SECONDS + LONGEST_SECONDS
    patience.failed("other")
    assert patience.failed("gone") == FIRST_SECONDS
