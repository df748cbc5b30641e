"""What a comparison says: what to read first, all that may be said, what weakens it."""
