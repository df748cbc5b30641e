"""A fitted ensemble as one file; nothing executable inside."""
