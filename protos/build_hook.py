"""Lets the wheel carry the stubs: runs ``gen.py`` before hatchling collects files."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):
    """Generates the stubs that are not in version control."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Runs the generator; hatchling calls it before a build."""
        runpy.run_path(str(Path(self.root) / "protos/gen.py"), run_name="__main__")
