"""Runs it: ``python -m services.rule``."""

from sutler.process import main

from services.rule.app import app
from services.rule.settings import Settings

if __name__ == "__main__":
    main(app, Settings)
