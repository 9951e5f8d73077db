from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import sutler.store
from sutler.store import Migration

README = Path(__file__).parents[3] / "libs" / "README.md"
TABLE = "CREATE TABLE caches (name TEXT NOT NULL PRIMARY KEY, number BIGINT)"


async def test_the_snippet_of_the_readme_works() -> None:
    found = re.search(r"```python\n(async with open_database.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    names: dict[str, Any] = {
        **vars(sutler.store),
        "url": "sqlite:///:memory:",
        "MIGRATIONS": (Migration(1, "caches", (TABLE,)),),
    }
    exec(f"async def snippet():\n{textwrap.indent(found[1], '    ')}    return row", names)
    assert await names["snippet"]() == (1,)
