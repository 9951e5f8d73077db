"""Types of provider that others bring: packages within this process, and plug-ins at an address."""

from services.provider.adapters.plugin.kind import PluginKind
from services.provider.adapters.plugin.loading import own_kind, plugin_kinds

__all__ = ["PluginKind", "own_kind", "plugin_kinds"]
