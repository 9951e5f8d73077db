"""Runs it: ``python -m services.provider``."""

from sutler.process import main

from services.provider.app import app
from services.provider.settings import Settings

if __name__ == "__main__":
    main(app, Settings)
