"""The driver for Tryton."""
