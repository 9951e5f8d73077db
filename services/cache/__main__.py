"""Runs it: ``python -m services.cache``."""

from sutler.process import main

from services.cache.app import app
from services.cache.settings import Settings

if __name__ == "__main__":
    main(app, Settings)
