"""Every provider type behaves as the port says."""
