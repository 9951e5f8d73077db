"""ResourceService: what is declared, who makes it real, and what became of it."""
