"""Keeps what providers have and the record in step."""
