"""Serves a provider type: ``SUTLER_PLUGIN_TARGET=package.module:Class python -m sutler.providers``."""

from sutler.process import main
from sutler.providers.serving import PluginSettings, app

if __name__ == "__main__":
    main(app, PluginSettings, program="python -m sutler.providers")
