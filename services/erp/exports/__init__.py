"""Exports of all records that match."""
