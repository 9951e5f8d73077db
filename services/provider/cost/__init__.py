"""What machines cost: prices, what comes up over time, and what would cost less."""
