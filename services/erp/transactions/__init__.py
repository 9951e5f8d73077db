"""Several writes as one: journalled first, undone in reverse if one fails, finished or undone after a crash."""
