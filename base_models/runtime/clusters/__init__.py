"""Clusters that tasks run on: connected to by an address, or started here."""
