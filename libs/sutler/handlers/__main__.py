"""Serves a handler: ``SUTLER_HANDLER_TARGET=package.module:Class python -m sutler.handlers``."""

from sutler.handlers.serving import HandlerSettings, app
from sutler.process import main

if __name__ == "__main__":
    main(app, HandlerSettings, program="python -m sutler.handlers")
