"""The whole of Sutler on one machine: `make run`, `make demo`."""
