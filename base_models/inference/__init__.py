"""Frozen networks on the fastest engine that is installed."""
