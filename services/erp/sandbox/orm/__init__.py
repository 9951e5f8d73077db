"""What every model can do: search, read, write, group, load, describe."""
