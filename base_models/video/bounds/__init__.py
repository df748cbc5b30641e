"""Keeps what reading a video takes within limits, and may let another process do it."""
