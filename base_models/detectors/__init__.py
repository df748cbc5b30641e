"""The base detectors, one a file."""
