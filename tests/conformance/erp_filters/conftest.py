from tests.integration.erp.conftest import sqlite

__all__ = ["sqlite"]
