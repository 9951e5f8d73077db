"""Customers with their orders, the same for every ERP."""
