"""Models of protocols: every interleaving of a few workers, by the standard library alone."""
