"""Protobuf to the domain's objects and back."""
