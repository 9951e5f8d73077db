from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import Conflict
from sutler.etags import check_etag, make_etag

PARTS = st.lists(
    st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.integers(-(2**62), 2**62), max_size=4
)


def in_a_process(program: str, seed: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_in_every_process() -> None:
    program = "from sutler.etags import make_etag; print(make_etag('caches/a', 7, 0.5, None, b'x'))"
    assert {in_a_process(program, seed) for seed in ("0", "1", "12345")} == {make_etag("caches/a", 7, 0.5, None, b"x")}


def test_never_changes() -> None:
    """Clients keep them over releases."""
    assert make_etag("caches/a", 7) == '"8d213e64cd729277"'


def test_quoted_as_in_http() -> None:
    assert make_etag("a").startswith('"') and make_etag("a").endswith('"')


@given(PARTS, PARTS)
def test_different_for_different_things(first: list[object], second: list[object]) -> None:
    assert (make_etag(*first) == make_etag(*second)) == (first == second)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("first", "second"), [(("ab", "c"), ("a", "bc")), ((1,), ("1",)), ((1,), (1.0,)), ((), (None,))]
)
def test_parts_do_not_run_into_each_other(first: tuple[object, ...], second: tuple[object, ...]) -> None:
    assert make_etag(*first) != make_etag(*second)  # type: ignore[arg-type]


class TestCheck:
    @pytest.mark.parametrize("wanted", ["", "*", '"abc"', "abc"])
    def test_matches(self, wanted: str) -> None:
        check_etag(wanted, '"abc"', "caches/a")

    @pytest.mark.parametrize("wanted", ['"abd"', "ab", '"ABC"', '""', "**"])
    def test_does_not(self, wanted: str) -> None:
        with pytest.raises(Conflict) as caught:
            check_etag(wanted, '"abc"', "caches/a")
        assert (caught.value.reason, caught.value.resource) == ("ETAG_MISMATCH", "caches/a")
