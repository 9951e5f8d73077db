"""Runs it: ``python -m services.erp``."""

from sutler.process import main

from services.erp.app import app
from services.erp.settings import Settings

if __name__ == "__main__":
    main(app, Settings)
