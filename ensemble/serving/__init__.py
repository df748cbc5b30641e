"""A page to drop videos on and an API to call, served from a fitted ensemble."""
