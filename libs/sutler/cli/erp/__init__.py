"""``sutler erp``: models and records of ERP systems, from a shell."""
