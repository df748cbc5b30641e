"""The base detectors, one idea a file."""
