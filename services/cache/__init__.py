"""CacheService: values under keys, kept for a time, small ones beside their metadata and large ones as blobs."""
