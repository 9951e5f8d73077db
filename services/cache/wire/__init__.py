"""Protobuf to the cache's own terms and back: all that the servicer translates."""
