"""Protobuf to the domain and back."""
