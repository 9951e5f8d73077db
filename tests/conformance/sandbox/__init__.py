"""The sandbox ERP against the recordings of a real Odoo 18, and as a process that is stopped, killed and started."""
