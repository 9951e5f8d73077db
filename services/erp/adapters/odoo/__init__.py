"""Drivers for Odoo."""
