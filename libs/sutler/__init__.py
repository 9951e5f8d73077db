"""What the Sutler services share, and the client that people use to call them."""
