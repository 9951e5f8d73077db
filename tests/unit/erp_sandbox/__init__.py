"""The sandbox ERP from the inside: domains, times, orders, imports, rights."""
