"""What the sandbox stores: fields, models, and the tables made from them."""
