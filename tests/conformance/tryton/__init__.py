"""Real Tryton servers, installed from the package index and run as processes of their own."""
