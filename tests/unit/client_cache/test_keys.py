"""Keys of arguments: stable, collision-free, and clear about what they cannot be made of."""

import functools
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.client.cache.encoding import Unencodable, WouldBlock, encode
from sutler.client.cache.keys import CallKeys, key_of

from tests.unit.client_cache.values import DIFFERENT, Connection, Point, arrays

ROOT = Path(__file__).resolve().parents[3]
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
HASHABLE = st.recursive(LEAVES, lambda part: st.tuples(part, part) | st.frozensets(part, max_size=3), max_leaves=6)
VALUES = st.recursive(
    LEAVES,
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(HASHABLE, part, max_size=3) | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=12,
)


def reading(a: int, b: object = "x", *rest: object, c: object = None, **more: object) -> None: ...


def plain(a: object, b: object = "x", *, c: object = None) -> None: ...


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same in type and content, however nested; every NaN is the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return repr(one) == repr(other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return matched(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return matched(list(one), list(other))
    return bool(one == other)


def matched(ones: list[Any], others: list[Any]) -> bool:
    for one in ones:
        place = next((place for place, other in enumerate(others) if same(one, other)), None)
        if place is None:
            return False
        others.pop(place)
    return not others


@given(VALUES, VALUES)
def test_only_the_same_values_have_the_same_encoding(one: Any, other: Any) -> None:
    assert (encode(one) == encode(other)) is same(one, other)


@given(st.lists(VALUES, max_size=3), st.lists(VALUES, max_size=3))
def test_no_two_encodings_run_into_each_other(ones: list[Any], others: list[Any]) -> None:
    joined = b"".join(map(encode, ones)) == b"".join(map(encode, others))
    assert joined is same(ones, others)


@given(st.dictionaries(st.text(max_size=3), LEAVES, max_size=6), st.randoms())
def test_the_order_of_a_dict_does_not_count(value: dict[str, Any], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(value)


def test_the_order_of_an_ordered_dict_counts() -> None:
    assert encode(OrderedDict(a=1, b=2)) != encode(OrderedDict(b=2, a=1))


def test_no_two_of_many_kinds_collide() -> None:
    values = [*DIFFERENT, *arrays()]
    found: dict[bytes, object] = {}
    for value in values:
        taken = found.setdefault(encode(value), value)
        assert taken is value, f"{value!r} ({type(value)}) has the key of {taken!r} ({type(taken)})"


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    program = (
        "from sutler.client.cache.keys import key_of\n"
        "from tests.unit.client_cache.values import DIFFERENT, arrays\n"
        "values = [*DIFFERENT, *arrays(), {'a', 'b', 'c'}, frozenset('xyz')]\n"
        "print(*[key_of('k', value) for value in values], sep='\\n')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}"}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    expected = [key_of("k", value) for value in [*DIFFERENT, *arrays(), {"a", "b", "c"}, frozenset("xyz")]]
    assert told.stdout.split() == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3))),
        (np.arange(10)[::2], np.array([0, 2, 4, 6, 8])),
        (np.array(["a", "b"], object), np.array(["".join(["a"]), "".join(["b"])], object)),
        (pd.Series(["a", None]), pd.concat([pd.Series(["a"]), pd.Series([None], dtype="str")], ignore_index=True)),
        (pd.DataFrame({"a": [1, 2]}).index, pd.RangeIndex(2)),
        (pl.concat([pl.Series([1]), pl.Series([2])], rechunk=False), pl.Series([1, 2])),
        (pl.Series(["b", "a"], dtype=pl.Categorical)[1:], pl.Series(["a"], dtype=pl.Categorical)),
    ],
    ids=["layout", "stride", "objects", "strings", "range", "chunks", "categories"],
)
def test_equal_arrays_have_one_key(one: Any, other: Any) -> None:
    assert encode(one) == encode(other)


@pytest.mark.parametrize("function", [reading, plain])
def test_a_call_is_taken_as_the_function_sees_it(function: Any) -> None:
    keys = CallKeys(function)
    key = keys.of((1,), {})
    assert key == keys.of((), {"a": 1}) == keys.of((1, "x"), {}) == keys.of((1,), {"c": None, "b": "x"})
    assert key != keys.of((1,), {"c": 0}) and key != keys.of((1, None), {}) and key != keys.of((True,), {})
    assert key.startswith(f"{__name__}.{function.__name__}:")


def test_keys_are_stored_so_they_never_change() -> None:
    keys = CallKeys(plain, prefix="p")
    found = [keys.of((1,), {}), keys.of((1,), {"c": {"z": 1.5, "a": [b"x", None, {2, 3}]}})]
    assert found == [
        "p:5ca20c8c820821be17fceb36facda5dbcdcfbfbdc8c55ae08a088d850f819728",
        "p:7181fdbf3ff7fe3030da2416b44c0c539056f806ca6dff7a019778697773d67e",
    ]


def test_further_arguments_are_apart() -> None:
    keys = CallKeys(reading)
    found = [
        keys.of(args, kwargs)
        for args, kwargs in [((1, 2, 3), {}), ((1, 2, 3, 4), {}), ((1, 2), {"d": 3}), ((1, 2), {"e": 3}), ((1, 2), {})]
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((), {"b": 1}), ((1,), {"a": 1}), ((1,), {"nope": 1}), ((1, 2, 3), {})]
)
def test_wrong_arguments_are_refused_as_the_function_would(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        CallKeys(plain).of(args, kwargs)


def test_what_is_ignored_does_not_count() -> None:
    keys = CallKeys(plain, ignore=["c"])
    assert keys.of((1,), {"c": object()}) == keys.of((1,), {})
    with pytest.raises(ValueError, match="'d'"):
        CallKeys(plain, ignore=["d"])


@pytest.mark.parametrize("function", [lambda a: a, functools.partial(plain, 1)], ids=["lambda", "partial"])
def test_a_function_without_a_name_needs_a_prefix(function: Any) -> None:
    with pytest.raises(ValueError, match="prefix="):
        CallKeys(function)
    assert CallKeys(function, prefix="p").of((1,), {}).startswith("p:")


PROGRAM = """
import multiprocessing
from dataclasses import dataclass
from sutler.client.cache.keys import CallKeys

@dataclass
class Point:
    x: int

def load(point): ...

def key(x):
    return CallKeys(load).of((Point(x),), {})

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(key(1), *pool.map(key, [1]))
"""


def test_a_program_has_the_keys_of_the_module_that_it_is(tmp_path: Path) -> None:
    """Run by its file, run as a module, started by multiprocessing, imported."""
    (tmp_path / "loading.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'libs'}:{tmp_path}"}
    keys = []
    for command in (["loading.py"], ["-m", "loading"], ["-c", "import loading; print(loading.key(1))"]):
        told = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        keys += told.stdout.split()
    assert len(keys) == 5 and len(set(keys)) == 1 and keys[0].startswith("loading.load:")


def test_a_key_function_stands_for_the_arguments() -> None:
    keys = CallKeys(plain, prefix="p", key=lambda a, **_: a)
    assert keys.of(("text",), {}) == "p:=text"
    assert keys.of(((1, 2),), {}) == keys.of(((1, 2),), {"c": object()}) != keys.of(([1, 2],), {})
    with pytest.raises(ValueError, match="tuple"):
        keys.of(("x" * 1100,), {})


@pytest.mark.parametrize(
    "value", [object(), lambda: 1, open, iter([]), [{"a": object()}], np.ma.array([1]), pl.LazyFrame()]
)
def test_what_cannot_be_a_key_is_named_with_a_remedy(value: object) -> None:
    with pytest.raises(TypeError, match=r"argument 'b' of plain: no key .* key=") as caught:
        CallKeys(plain).of((1,), {"b": value})
    assert "0x" not in str(caught.value)


def test_classes_in_functions_and_loops_are_refused() -> None:
    class Local:
        pass

    with pytest.raises(Unencodable):
        encode(Local)
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="'a'"):
        CallKeys(plain).of((loop,), {})


def test_subclasses_with_more_than_their_base_differ() -> None:
    class Money(int):
        currency: str

    euro, dollar = Money(1), Money(1)
    euro.currency, dollar.currency = "EUR", "USD"
    assert len({encode(each) for each in (euro, dollar, 1)}) == 3


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 3_000_000)
    before = encode([one])
    assert before == encode([other]) != encode([str(one)])
    one.write_bytes(b"x" * 2_999_999 + b"y")
    assert encode([one]) != before
    with pytest.raises(FileNotFoundError):
        encode(tmp_path / "none")
    with pytest.raises(TypeError, match="argument 'a'"):
        CallKeys(plain).of((tmp_path,), {})


def test_what_takes_long_is_left_to_a_thread(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for value in (file, Point(1, [file]), np.zeros(1_000_000), b"x" * 2_000_000):
        with pytest.raises(WouldBlock):
            encode(value, blocking=False)
        encode(value)
    encode([np.zeros(1000), "x" * 1000, Connection("a")], blocking=False)
