"""Runs it: ``python -m services.resource``."""

from sutler.process import main

from services.resource.app import app
from services.resource.settings import Settings

if __name__ == "__main__":
    main(app, Settings)
