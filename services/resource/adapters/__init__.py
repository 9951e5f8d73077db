"""What stands behind the ports: the database, and handlers at the other end of a connection."""
