"""ErpGateway: connections to ERP systems, and the sandbox ERP for tests and trials."""
