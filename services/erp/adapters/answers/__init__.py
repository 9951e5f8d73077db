"""Where answers of ERPs are kept: in this process, and in CacheService."""
