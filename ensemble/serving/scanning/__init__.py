"""The process that scans: it holds the model, is bounded, and may be replaced."""
