import base64
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError
from sutler.errors import FailedPrecondition
from sutler.secret_box import SecretBox, SecretKeys, data_folder, decoded_keys, make_box

GOOD = base64.b64encode(bytes(32)).decode()
Keys: TypeAdapter[SecretStr] = TypeAdapter(SecretKeys)


def test_a_secret_opens_for_its_owner_and_key_only() -> None:
    old, new = os.urandom(32), os.urandom(32)
    sealed = SecretBox([old]).seal("geheim", owner="uid-1")
    assert b"geheim" not in sealed
    assert SecretBox([new, old]).open(sealed, owner="uid-1") == "geheim"
    for box, owner, what in (
        (SecretBox([old]), "uid-2", sealed),
        (SecretBox([new]), "uid-1", sealed),
        (SecretBox([old]), "uid-1", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(ValueError):
            box.open(what, owner=owner)


def test_a_derived_box_opens_nothing_of_another() -> None:
    old, new = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    before, now = make_box("erp", old, None), make_box("erp", f"{new},{old}", None)
    sealed = before.derived("cache").seal("answer", owner="a")
    assert now.derived("cache").open(sealed, owner="a") == "answer"
    for box in (before, now.derived("other")):
        with pytest.raises(ValueError):
            box.open(sealed, owner="a")


def test_without_a_key_one_is_made_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    sealed = make_box("erp", "", folder).seal("x", owner="o")
    assert make_box("erp", "", folder).open(sealed, owner="o") == "x"
    assert stat.S_IMODE((folder / "erp.key").stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == ["erp.key"]


@pytest.mark.parametrize("keys", ["", " ", GOOD, f"{GOOD}, {GOOD},"])
def test_keys_of_settings(keys: str) -> None:
    assert Keys.validate_python(SecretStr(keys)).get_secret_value() == keys


def test_keys_of_a_setting_one_by_one() -> None:
    old, new = bytes(32), bytes(range(32))
    text = ", ".join(base64.b64encode(key).decode() for key in (new, old)) + ","
    assert decoded_keys(SecretStr(text)) == [new, old]
    assert decoded_keys(SecretStr(" ")) == []


def test_keys_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    short = base64.b64encode(b"short").decode()
    for keys in (short, "not base64!", "não", f"{short},{short}", ",", f"{GOOD},{short}"):
        with pytest.raises(FailedPrecondition):
            make_box("erp", keys, tmp_path)
        with pytest.raises(ValidationError) as refused:
            Keys.validate_python(SecretStr(keys))
        assert short not in str(refused.value)
    with pytest.raises(FailedPrecondition):
        make_box("erp", "", None)
    (tmp_path / "erp.key").write_bytes(b"\xff" * 45)
    with pytest.raises(FailedPrecondition) as caught:
        make_box("erp", "", tmp_path)
    assert caught.value.metadata["place"] == str(tmp_path / "erp.key")
    with pytest.raises(FailedPrecondition) as caught:
        make_box("erp", "", tmp_path / "erp.key")
    assert caught.value.metadata["path"] == str(tmp_path / "erp.key" / "erp.key")
    assert data_folder("postgresql://x/y") is None
    assert data_folder("sqlite:///a/b.db") == Path("a")
