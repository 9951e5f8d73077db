"""What single models do beyond that: partners, products, users, sales orders and their lines."""
