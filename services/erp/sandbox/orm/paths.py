"""Paths of fields in imports and exports: `country_id/code`, `partner_id/id` (external id), `partner_id/.id`."""

import re

DATABASE_ID = re.compile(r"([^/])\.id")
EXTERNAL_ID = re.compile(r"([^/]):id")


def split_path(path: str) -> list[str]:
    """Split a path at its slashes; `field.id` and `field:id` are older ways to write `field/.id` and `field/id`."""
    return EXTERNAL_ID.sub(r"\1/id", DATABASE_ID.sub(r"\1/.id", path)).split("/")
