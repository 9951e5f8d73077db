from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest
from pydantic import ValidationError
from sutler.backends import OrderedStore
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.server import running
from sutler.testing.ordered_stores import OrderedStoreTests

from services.cache.app import app
from tests.integration.cache.calls import Shelf
from tests.integration.cache.places import Place, settings_of

README = Path("services/cache/README.md").read_text()
POINT = "[sutler.cache.metadata_backends]\n"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """Puts the README's package where Python finds it and its entry points."""
    [code] = [block for block in re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S) if "class Drawer(" in block]
    (folder / "drawers.py").write_text(code)
    described = folder / "drawers-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: drawers\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(POINT + points)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "drawers", raising=False)
    invalidate_caches()


async def test_the_readmes_backend_serves_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "drawer = drawers:register\n")
    place = Place(
        f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs", "other", {"other": {"type": "drawer", "label": "left"}}
    )
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as client:
        made = await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
        shelf = Shelf(client, made.name)
        await shelf.put("k", b"1", tags=["t"])
        assert (await shelf.get("k")).inline_value == b"1"
        assert await shelf.invalidate(tags=["t"]) == 1
        answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter='type = "drawer"'))
    [found] = answer.backends
    assert (found.backend_id, found.builtin, found.default_backend) == ("other", False, True)
    assert (found.state, list(found.options_schema["required"])) == (pb.Backend.STATE_READY, ["label"])


async def test_a_backend_that_cannot_be_loaded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "broken = no_such_module:register\n")
    place = Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs")
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as client:
        answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter='type = "broken"'))
    [found] = answer.backends
    assert found.state == pb.Backend.STATE_NOT_INSTALLED and "no_such_module" in found.state_reason
    with pytest.raises(ValidationError) as refused:
        settings_of(Place(place.data, place.blobs, "other", {"other": {"type": "broken"}}))
    assert "no_such_module" in str(refused.value)


class TestDrawer(OrderedStoreTests):
    shared = False

    @pytest.fixture
    async def opens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], OrderedStore]:
        install(tmp_path, monkeypatch, "")
        drawers = import_module("drawers")
        return lambda: drawers.Drawer(drawers.DrawerOptions(label="left"))  # type: ignore[no-any-return]
