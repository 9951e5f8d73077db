"""A sandbox ERP: a small server of our own that answers Odoo 18's JSON-RPC for partners, products and sales orders.

It stands in for a real Odoo in tests and trials. It is not Odoo and contains none of its code.
"""
